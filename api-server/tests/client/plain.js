// A device by @wireapp/api-client alone, for the API's first versions. Its texts are not encrypted: to the server they are bytes.
'use strict';

const KEY = Buffer.from('a prekey').toString('base64');

exports.device = async (client, version, report) => {
  const {WebSocketClient} = require('@wireapp/api-client/lib/tcp/WebSocketClient');
  let last;

  function hear({id, payload, transient}) {
    if (!transient) last = id;
    for (const event of payload) {
      const text = event.type === 'conversation.otr-message-add' ? Buffer.from(event.data.text, 'base64').toString() : undefined;
      report({...event, text});
    }
  }

  const methods = {
    async register(data) {
      const {userId, domain} = await client.register(data, 'permanent');
      return {id: userId, domain};
    },

    async login(data) {
      const {userId, domain} = await client.login({clientType: 'permanent', ...data});
      return {id: userId, domain};
    },

    async goOnline(password) {
      const prekeys = Array.from({length: 10}, (_, id) => ({id, key: KEY}));
      const device = await client.api.client.postClient({
        type: 'permanent',
        class: 'desktop',
        password,
        prekeys,
        lastkey: {id: 65535, key: KEY},
      });
      client.context.clientId = device.id;
      await client.transport.http.associateClientWithSession(device.id);
      last = (await client.api.notification.getLastNotification(device.id)).id;
      await methods.listen();
      return device.id;
    },

    // What was missed is read before what comes.
    async listen() {
      const socket = client.transport.ws;
      socket.lock();
      socket.removeAllListeners(WebSocketClient.TOPIC.ON_MESSAGE);
      socket.on(WebSocketClient.TOPIC.ON_MESSAGE, hear);
      await new Promise(resolve => client.connect(resolve));
      const {notifications} = await client.api.notification.getAllNotifications(client.context.clientId, last);
      notifications.forEach(hear);
      socket.unlock();
    },

    async goOffline() {
      client.disconnect();
    },

    async send(conversation, users, text) {
      const {qualified_user_map: devices} = await client.api.user.postListClients({qualified_users: users});
      const recipients = Object.entries(devices).map(([domain, ofDomain]) => ({
        domain,
        entries: Object.entries(ofDomain).map(([user, clients]) => ({
          user: {uuid: Buffer.from(user.replaceAll('-', ''), 'hex')},
          clients: clients.filter(({id}) => id !== client.context.clientId).map(({id}) => ({client: number(id), text: Buffer.from(text)})),
        })),
      }));
      await client.api.conversation.postOTRMessage(conversation.id, conversation.domain, {
        sender: number(client.context.clientId),
        recipients,
        reportAll: {},
      });
    },

    async logout() {
      await client.logout();
    },
  };
  return methods;
};

// A device's id as protobuf has it.
function number(id) {
  const Long = require('long');
  return {client: Long.fromString(id, true, 16)};
}
