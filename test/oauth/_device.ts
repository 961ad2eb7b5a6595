// A provider's login on another device, as a test wants it to go.
import type { DeviceAuthorization, DeviceLogin, DevicePoll } from '../../src/providers/provider.ts';
import type { FakeCredential } from './_fakes.ts';

export const deviceAuthorization: DeviceAuthorization = {
  userCode: 'WDJB-MJHT',
  verificationUri: 'https://idp.example/device',
  verificationUriComplete: 'https://idp.example/device?user_code=WDJB-MJHT',
  intervalMs: 5_000,
  lifeMs: 600_000,
  deviceCode: 'SECRET-device',
};

export interface FakeDevice extends DeviceLogin {
  /** What the coming polls give. */
  next: () => Promise<DevicePoll>;
  /** How a start goes. */
  begin: () => Promise<DeviceAuthorization>;
}

export function createFakeDevice(): FakeDevice {
  const device: FakeDevice = {
    next: async () => ({ kind: 'pending' }),
    begin: async () => deviceAuthorization,
    isOffered: async () => true,
    start: () => device.begin(),
    poll: () => device.next(),
  };
  return device;
}

export function withDevice(credential: FakeCredential, device: DeviceLogin = createFakeDevice()): FakeCredential {
  return Object.assign(credential, { device });
}
