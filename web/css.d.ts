// Style sheets are bundled by scripts/build-page.js.
declare module '*.css';
