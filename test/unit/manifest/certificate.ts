// A self-signed certificate made on the spot (X.509 v3, RFC 5280; Ed25519, RFC 8410), so that tests need
// no openssl and the tree holds no private key.

import { generateKeyPairSync, sign } from "node:crypto";

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 128 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

const SEQUENCE = 0x30;
const ED25519 = der(SEQUENCE, der(0x06, Buffer.from([0x2b, 0x65, 0x70])));

function commonName(name: string): Buffer {
  const attribute = der(SEQUENCE, der(0x06, Buffer.from([0x55, 0x04, 0x03])), der(0x0c, Buffer.from(name)));
  return der(SEQUENCE, der(0x31, attribute));
}

/** GeneralizedTime: YYYYMMDDHHMMSSZ. */
function time(date: Date): Buffer {
  return der(0x18, Buffer.from(`${date.toISOString().replaceAll(/[-:T]/g, "").slice(0, 14)}Z`));
}

function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** PEM texts of a new key and a certificate for it. */
export function selfSigned(valid: { readonly from: Date; readonly to: Date }): {
  readonly cert: string;
  readonly key: string;
} {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const name = commonName("mem0ctl test");
  const signed = der(
    SEQUENCE,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    ED25519,
    name,
    der(SEQUENCE, time(valid.from), time(valid.to)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
  );
  const signature = der(0x03, Buffer.from([0]), sign(null, signed, privateKey));
  return {
    cert: pem("CERTIFICATE", der(SEQUENCE, signed, ED25519, signature)),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}
