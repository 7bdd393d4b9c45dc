// One device of one user: the published client library in a process of its own, for it keeps its cookie once per process.
// Takes {id, method, args} from the parent, answers {id, result} or {id, error}, and reports events as {event}.
'use strict';
globalThis.WebSocket = require('ws');

let device;

const methods = {
  async start(urls, version, name) {
    const {APIClient} = require('@wireapp/api-client');
    const client = new APIClient({urls: {...urls, name}});
    const {version: agreed, domain} = await client.useVersion(version, version);
    const report = event => process.send({event});
    // The library on top of the API wants version 5 or more.
    device = await (version < 5 ? require('./plain') : require('./account')).device(client, version, report);
    Object.assign(methods, device, common(client));
    return {version: agreed, domain};
  },
};

const common = client => ({
  async upload(text, options) {
    return client.api.asset.postAsset(new Uint8Array(Buffer.from(text)), options).response;
  },

  async download({key, domain}, token) {
    const {buffer} = await client.api.asset.getAsset(key, domain, token).response;
    return Buffer.from(buffer).toString();
  },

  async search(text) {
    const request = await client.api.user.getSearchContacts(text, 10);
    return (await request.response).documents;
  },

  // Any function of the library's API: 'user.postHandles', …
  async api(name, ...args) {
    const parts = name.split('.');
    const method = parts.pop();
    return parts.reduce((value, key) => value[key], client.api)[method](...args);
  },
});

process.on('message', async ({id, method, args}) => {
  try {
    process.send({id, result: await methods[method](...args)});
  } catch (error) {
    const {message, label, code, response} = error;
    process.send({id, error: {message, label: label ?? response?.data?.label, code: code ?? response?.status, status: response?.status, stack: error.stack}});
  }
});
process.on('unhandledRejection', error => console.error('unhandled:', error?.message ?? error));
