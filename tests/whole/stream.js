// Keeps a new user's websocket open through the public names: `node stream.js DOMAIN`. Prints `open`, and ends when the connection does.
'use strict';
const crypto = require('node:crypto');
const https = require('node:https');

const [domain] = process.argv.slice(2);

async function post(path, body) {
  const answer = await fetch(`https://nginz-https.${domain}${path}`, {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function main() {
  const [email, password] = [`${crypto.randomUUID()}@example.com`, crypto.randomUUID()];
  await post('/register', {name: 'Stream', email, password, accent_id: 1});
  const {access_token: token} = await post('/login?persist=true', {email, password});
  const request = https.get(`https://nginz-ssl.${domain}/await?access_token=${token}`, {
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': crypto.randomBytes(16).toString('base64'),
    },
  });
  request.on('response', ({statusCode}) => end(`no websocket: ${statusCode}`));
  request.on('error', end);
  request.on('upgrade', (_, socket) => {
    console.log('open');
    // Frames without content: a ping, and a pong in case the other side has asked for one.
    const frame = kind => Buffer.from([kind, 0x80, 0, 0, 0, 0]);
    setInterval(() => socket.write(Buffer.concat([frame(0x89), frame(0x8a)])), 1000);
    socket.on('error', end);
    socket.on('close', () => end('closed'));
    socket.resume();
  });
}

function end(why) {
  console.error(why);
  process.exit(1);
}

main().catch(end);
