// Drives the published Wire client against wire-api: `node main.js <url> <version> [<url of websockets>]`. Every step is checked; the first that fails ends it.
// With MAIL_PORT in the environment it is the mail server there, too, and members join teams by the codes that are sent.
'use strict';
const assert = require('node:assert/strict');
const {fork} = require('node:child_process');
const net = require('node:net');
const path = require('node:path');

const [url, version, websockets] = process.argv.slice(2);
const urls = {rest: url, ws: websockets ?? url.replace(/^http/, 'ws')};
const PASSWORD = 'correct horse battery';
const PATIENCE = 60_000;

class Device {
  static all = [];

  static async start(name) {
    const device = new Device(name);
    const features = await device.call('start', urls, Number(version), name);
    assert.equal(features.version, Number(version));
    return device;
  }

  constructor(name) {
    this.name = name;
    this.events = [];
    this.waiting = [];
    this.calls = new Map();
    this.process = fork(path.join(__dirname, 'device.js'), {stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: {...process.env, DEBUG: ''}});
    this.process.on('message', message => this.hear(message));
    this.process.on('exit', code => this.calls.forEach(({reject}) => reject(new Error(`${name} ended with ${code}`))));
    Device.all.push(this);
  }

  hear({id, result, error, event}) {
    if (event) {
      this.events.push(event);
      this.waiting.forEach(look => look());
      return;
    }
    const {resolve, reject} = this.calls.get(id);
    this.calls.delete(id);
    if (!error) return resolve(result);
    reject(Object.assign(new Error(`${this.name}: ${error.message}`), {label: error.label, code: error.code, status: error.status, cause: error.stack}));
  }

  call(method, ...args) {
    return new Promise((resolve, reject) => {
      const id = Math.random();
      this.calls.set(id, {resolve, reject});
      this.process.send({id, method, args});
    });
  }

  api(name, ...args) {
    return this.call('api', name, ...args);
  }

  // The first event of a kind that fits, now or to come; it is taken out.
  event(type, fits = () => true) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`${this.name} does not hear of ${type}; heard: ${JSON.stringify(this.events.map(event => event.type))}`)),
        PATIENCE,
      );
      const look = () => {
        const index = this.events.findIndex(event => event.type === type && fits(event));
        if (index < 0) return;
        clearTimeout(late);
        this.waiting = this.waiting.filter(other => other !== look);
        resolve(this.events.splice(index, 1)[0]);
      };
      this.waiting.push(look);
      look();
    });
  }

  hears(text) {
    return this.event('conversation.otr-message-add', event => event.text === text);
  }
}

async function step(name, work) {
  const began = Date.now();
  const result = await work();
  console.log(`ok ${name} (${Date.now() - began} ms)`);
  return result;
}

async function person(name, useLegacy, extra = {}) {
  const device = await Device.start(name);
  const email = `${name.toLowerCase()}-${process.pid}-v${version}@example.com`;
  const user = await device.call('register', {name, email, password: PASSWORD, accent_id: 1, ...extra});
  const client = await device.call('goOnline', PASSWORD, useLegacy);
  return {device, user, email, client};
}

async function refused(promise, status, label) {
  const error = await promise.then(() => assert.fail(`should be refused as ${label}`), error => error);
  assert.equal(error.label, label, error.message);
  if (status) assert.equal(error.code, status, error.message);
}

// A mail server of a few words; gives a function that waits for the code that leads an address into a team.
async function post(port) {
  const mails = [];
  const server = net.createServer(socket => {
    let mail;
    socket.write('220 post\r\n');
    socket.on('error', () => {});
    require('node:readline').createInterface({input: socket}).on('line', line => {
      if (mail !== undefined && line !== '.') return (mail += `${line}\n`);
      if (line === '.') mail = void mails.push(mail.replaceAll('=\n', '').replaceAll('=3D', '='));
      else if (line === 'DATA') mail = '';
      socket.write(mail === undefined ? '250 fine\r\n' : '354 go on\r\n');
    });
  });
  await new Promise(resolve => server.listen(port, '127.0.0.1', resolve));
  server.unref();
  return async address => {
    for (const until = Date.now() + PATIENCE; Date.now() < until; await new Promise(resolve => setTimeout(resolve, 50))) {
      const mail = mails.findLast(mail => mail.includes(`To: ${address}`));
      if (mail) return mail.match(/team-code=([\w-]+)/)[1];
    }
    throw new Error(`no mail to ${address}`);
  };
}

async function main() {
  const codeFor = process.env.MAIL_PORT && (await post(Number(process.env.MAIL_PORT)));
  const ann = await step('Ann registers with a device', () => person('Ann', true));
  const bob = await step('Bob registers with a device on the acknowledged stream', () => person('Bob', Number(version) < 9));
  const both = [ann.user, bob.user];

  await step('handles are taken once', async () => {
    const handle = `ann_${process.pid}_v${version}`;
    assert.deepEqual(await ann.device.api('user.postHandles', {handles: [handle], return: 1}), [handle]);
    await ann.device.api('self.putHandle', {handle});
    await refused(bob.device.api('self.putHandle', {handle}), 409, 'handle-exists');
    assert.equal((await ann.device.api('self.getSelf')).handle, handle);
    const [found] = await bob.device.call('search', handle);
    assert.equal(found.id, ann.user.id);
  });

  const one = await step('Ann and Bob connect', async () => {
    const connection = await ann.device.api('connection.postConnection', bob.user);
    assert.equal(connection.status, 'sent');
    await bob.device.event('user.connection', event => event.connection.status === 'pending');
    const accepted = await bob.device.api('connection.putConnection', ann.user, {status: 'accepted'});
    assert.equal(accepted.status, 'accepted');
    await ann.device.event('user.connection', event => event.connection.status === 'accepted');
    const conversation = accepted.qualified_conversation;
    const seen = await ann.device.api('conversation.getConversation', conversation);
    assert.equal(seen.type, 2);
    assert.equal(seen.members.others[0].id, bob.user.id);
    return conversation;
  });

  await step('messages go both ways', async () => {
    await ann.device.call('send', one, both, 'hello Bob');
    const event = await bob.device.hears('hello Bob');
    assert.equal(event.from, ann.user.id);
    await bob.device.call('send', one, both, 'hello Ann');
    await ann.device.hears('hello Ann');
  });

  const second = await step('Ann logs in on a second device, which reads along', async () => {
    const device = await Device.start('Ann2');
    await device.call('login', {email: ann.email, password: PASSWORD});
    await refused(device.call('goOnline', 'wrong password', true), 403, 'invalid-credentials');
    const client = await device.call('goOnline', PASSWORD, true);
    await ann.device.event('user.client-add', event => event.client.id === client);
    await bob.device.call('send', one, both, 'hello both devices');
    await Promise.all([ann.device.hears('hello both devices'), device.hears('hello both devices')]);
    await ann.device.call('send', one, both, 'from the first device');
    await Promise.all([bob.device.hears('from the first device'), device.hears('from the first device')]);
    return {device, client};
  });

  await step('a device that was away reads what it missed, in order', async () => {
    await second.device.call('goOffline');
    const texts = Array.from({length: 12}, (_, number) => `missed ${number}`);
    for (const text of texts) await bob.device.call('send', one, both, text);
    await second.device.call('listen', true);
    for (const text of texts) await second.device.hears(text);
  });

  const carol = await step('Carol registers', () => person('Carol', true));
  const group = await step('a group of three', async () => {
    await refused(ann.device.api('conversation.postConversation', groupOf('Too early', [carol.user])), 403, 'not-connected');
    await ann.device.api('connection.postConnection', carol.user);
    await carol.device.event('user.connection');
    await carol.device.api('connection.putConnection', ann.user, {status: 'accepted'});
    await ann.device.event('user.connection', event => event.connection.to === carol.user.id && event.connection.status === 'accepted');
    const made = await ann.device.api('conversation.postConversation', groupOf('Friends', [bob.user, carol.user]));
    assert.equal(made.members.others.length, 2);
    const seen = await carol.device.event('conversation.create', event => event.conversation === made.qualified_id.id);
    assert.equal(seen.data.name, 'Friends');
    const three = [ann.user, bob.user, carol.user];
    await carol.device.call('send', made.qualified_id, three, 'hello friends');
    await Promise.all([ann, bob, second].map(({device}) => device.hears('hello friends')));
    return made.qualified_id;
  });

  await step('names, timers, receipts, typing, roles', async () => {
    await ann.device.api('conversation.putConversation', group, {name: 'Best friends'});
    await bob.device.event('conversation.rename', event => event.data.name === 'Best friends');
    await ann.device.api('conversation.putConversationMessageTimer', group, {message_timer: 60_000});
    await bob.device.event('conversation.message-timer-update', event => event.data.message_timer === 60_000);
    await ann.device.api('conversation.putConversationReceiptMode', group, {receipt_mode: 1});
    await bob.device.event('conversation.receipt-mode-update');
    await bob.device.api('conversation.postTyping', group, {status: 'started'});
    await carol.device.event('conversation.typing', event => event.from === bob.user.id);
    await refused(bob.device.api('conversation.putConversation', group, {name: 'Mine'}), 403, 'action-denied');
    const {conversation_roles} = await bob.device.api('conversation.getRoles', group.id);
    assert.deepEqual(conversation_roles.map(role => role.conversation_role).sort(), ['wire_admin', 'wire_member']);
    await ann.device.api('conversation.putOtherMember', bob.user, group, {conversation_role: 'wire_admin'});
    await bob.device.api('conversation.putConversation', group, {name: 'Ours'});
    await bob.device.api('conversation.putMembershipProperties', group, {otr_archived: true, otr_archived_ref: new Date().toISOString()});
    const seen = await bob.device.api('conversation.getConversation', group);
    assert.equal(seen.members.self.otr_archived, true);
    assert.equal(seen.name, 'Ours');
  });

  await step('one is removed and reads no more', async () => {
    await ann.device.api('conversation.deleteMember', group, carol.user);
    await carol.device.event('conversation.member-leave', event => event.data.user_ids.includes(carol.user.id));
    await refused(carol.device.api('conversation.getConversation', group), 403, 'access-denied');
    const {found = [], not_found = []} = await carol.device.api('conversation.getConversationsByQualifiedIds', [group]);
    assert.equal(found.length, 0);
    assert.equal(not_found.length, 1);
  });

  await step('a guest link lets Carol in again', async () => {
    await ann.device.api('conversation.putAccess', group, {access: ['invite', 'code'], access_role: ['team_member', 'non_team_member', 'guest', 'service']});
    const link = await ann.device.api('conversation.postConversationCodeRequest', group.id);
    const {key, code} = link.data;
    await refused(carol.device.api('conversation.postJoinByCode', {key, code: 'wrong'}), 404, 'no-conversation-code');
    const joined = await carol.device.api('conversation.postJoinByCode', {key, code});
    assert.equal(joined.type, 'conversation.member-join');
    await bob.device.event('conversation.member-join', event => event.data.user_ids.includes(carol.user.id));
    await bob.device.call('send', group, [ann.user, bob.user, carol.user], 'welcome back');
    await carol.device.hears('welcome back');
  });

  await step('files are uploaded and downloaded', async () => {
    const text = 'x'.repeat(300_000);
    const asset = await ann.device.call('upload', text, {public: false, retention: 'volatile'});
    assert.ok(asset.token);
    assert.equal(await bob.device.call('download', asset, asset.token), text);
    await assert.rejects(bob.device.call('download', asset, 'wrong'));
    const open = await ann.device.call('upload', text, {public: true, retention: 'eternal'});
    await ann.device.api('self.putSelf', {assets: [{key: open.key, size: 'complete', type: 'image'}]});
    await bob.device.event('user.update', event => event.user.assets?.[0].key === open.key);
  });

  await step('properties are shared by a user\'s devices', async () => {
    await ann.device.api('user.putProperty', 'webapp', {settings: {sound: 'all'}});
    await second.device.event('user.properties-set', event => event.key === 'webapp');
    assert.deepEqual(await second.device.api('user.getProperty', 'webapp'), {settings: {sound: 'all'}});
  });

  const {tina, team} = await step('a team is founded, and its owner invites', async () => {
    const tina = await person('Tina', true, {team: {name: 'Tea', icon: 'default', binding: true}});
    const self = await tina.device.api('self.getSelf');
    assert.ok(self.team);
    assert.equal((await tina.device.api('teams.team.getTeam', self.team)).name, 'Tea');
    const {members} = await tina.device.api('teams.member.getAllMembers', self.team);
    assert.equal(members[0].permissions.self, 8191);
    await refused(bob.device.api('teams.team.getTeam', self.team), 403, 'no-team-member');
    const invitation = await tina.device.api('teams.invitation.postInvitation', self.team, {email: `ted-${process.pid}@example.com`, inviter_name: 'Tina', role: 'member'});
    const {invitations} = await tina.device.api('teams.invitation.getInvitations', self.team);
    assert.equal(invitations[0].id, invitation.id);
    const features = await tina.device.api('teams.feature.getAllFeatures');
    assert.equal(features.mls.status, 'disabled');
    const own = await tina.device.api('conversation.postConversation', {...groupOf('Staff', []), team: {teamid: self.team, managed: false}});
    await tina.device.api('teams.conversation.deleteConversation', self.team, own.qualified_id.id);
    await tina.device.api('teams.member.getMember', self.team, tina.user.id);
    return {tina, team: self.team};
  });

  if (codeFor) {
    await step('members join the team, are trusted with more, leave, and go with it', async () => {
      const address = name => `${name}-${process.pid}-v${version}@example.com`;
      const invite = async email => {
        await tina.device.api('teams.invitation.postInvitation', team, {email, inviter_name: 'Tina', role: 'member'});
        return codeFor(email);
      };
      const ted = await person('Ted', true, {team_code: await invite(address('ted'))});
      await tina.device.event('team.member-join', event => event.data.user === ted.user.id);
      const uma = await person('Uma', true);
      await uma.device.api('teams.invitation.acceptInvitation', {code: await invite(uma.email), password: PASSWORD});
      await tina.device.event('team.member-join', event => event.data.user === uma.user.id);

      await refused(ted.device.api('teams.invitation.getInvitations', team), 403, 'operation-denied');
      const admin = {self: 5951, copy: 5951};
      await tina.device.api('teams.member.putMembers', team, {user: ted.user.id, permissions: admin});
      await ted.device.event('team.member-update', event => event.data.user === ted.user.id);
      await ted.device.api('teams.invitation.getInvitations', team);

      await tina.device.api('teams.member.deleteMember', team, uma.user.id, PASSWORD);
      await ted.device.event('team.member-leave', event => event.data.user === uma.user.id);
      await tina.device.api('teams.team.deleteTeam', team, PASSWORD);
      for (const {name, email} of [{name: 'Ted2', email: ted.email}, {name: 'Tina2', email: tina.email}]) {
        const device = await Device.start(name);
        await refused(device.call('login', {email, password: PASSWORD}), 403, 'invalid-credentials');
      }
    });
  }

  await step('a removed device is told and shut out', async () => {
    await ann.device.api('client.deleteClient', second.client, PASSWORD);
    const left = await ann.device.api('client.getClients');
    assert.deepEqual(left.map(({id}) => id), [ann.client]);
    await bob.device.call('send', group, [ann.user, bob.user, carol.user], 'after the removal');
    await ann.device.hears('after the removal');
  });

  await step('wrong passwords are refused, and a log-out ends the session', async () => {
    const device = await Device.start('Bob2');
    await refused(device.call('login', {email: bob.email, password: 'wrong password'}), 403, 'invalid-credentials');
    await refused(device.call('login', {email: 'nobody@example.com', password: 'wrong password'}), 403, 'invalid-credentials');
    await device.call('login', {email: bob.email, password: PASSWORD});
    await device.call('logout');
  });

  await step('an account is deleted', async () => {
    await carol.device.api('self.deleteSelf', {password: PASSWORD});
    await ann.device.event('user.delete', event => event.id === carol.user.id);
    const gone = await ann.device.api('user.getUser', carol.user);
    assert.equal(gone.deleted, true);
  });
}

function groupOf(name, users) {
  return {
    name,
    qualified_users: users,
    receipt_mode: 0,
    access: ['invite'],
    access_role: ['team_member', 'non_team_member', 'guest', 'service'],
    conversation_role: 'wire_member',
    protocol: 'proteus',
  };
}

main().then(
  () => process.exit(0),
  error => {
    console.error(error);
    Device.all.forEach(({name, events}) => console.error(name, 'heard and did not expect', events.map(event => event.type)));
    process.exit(1);
  },
);
process.on('exit', () => Device.all.forEach(device => device.process.kill()));
