// The least that a server in Node.js does for a message: reads it and writes it back. bench/floor.ts compares with it.
import { createServer } from 'node:net';

const server = createServer({ noDelay: true }, (stream) => {
  stream.on('data', (chunk) => stream.write(chunk));
  stream.on('error', () => stream.destroy());
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
