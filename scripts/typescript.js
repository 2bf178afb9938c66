// Lets a script import the TypeScript of test/ and bench/ where Node cannot by itself (before 22.18). Import it first.
if (!process.features.typescript) {
  const { register } = await import('tsx/esm/api');
  register();
}
