// Where the listeners stand unless configured. Apart from the schema, so that `wait` and `status` in a probe load
// neither zod nor yaml to know them.

export const defaultAddresses = {
  proxy: '127.0.0.1:8080',
  oauth: '127.0.0.1:1455',
  telemetry: '0.0.0.0:9464',
} as const;
