exports.NodeServiceApi = class {};
