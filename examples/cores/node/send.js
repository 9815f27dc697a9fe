#!/usr/bin/env node
// Sends datagrams to one channel of IP multicast and exits.
//
//     node send.js GROUP PORT --interface NAME [--source ADDRESS] [--ttl N] [--count N] [--payload TEXT]
'use strict';

const dgram = require('node:dgram');
const net = require('node:net');
const os = require('node:os');
const { parseArgs } = require('node:util');

function fail(error) {
  console.error(`error: ${error.message ?? error}`);
  process.exit(1);
}

// How dgram names an interface: by an address of it (IPv4), or by the zone of an address (IPv6).
function nameInterface(name, ipv6) {
  const addresses = os.networkInterfaces()[name];
  if (addresses === undefined) throw new Error(`there is no interface ${name} that is up`);
  if (ipv6) return `::%${name}`;
  const address = addresses.find((each) => each.family === 'IPv4');
  if (address === undefined) throw new Error(`interface ${name} has no IPv4 address`);
  return address.address;
}

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      interface: { type: 'string' },
      source: { type: 'string' },
      ttl: { type: 'string', default: '1' },
      count: { type: 'string', default: '1' },
      payload: { type: 'string', default: 'hello' },
      version: { type: 'boolean' },
    },
  });
  if (values.version) {
    console.log(`send.js on node ${process.version}`);
    return;
  }
  const [group, port] = positionals;
  if (positionals.length !== 2 || !values.interface) {
    throw new Error('usage: send.js GROUP PORT --interface NAME [--source ADDRESS] [--ttl N] [--count N] [--payload TEXT]');
  }
  for (const address of [group, values.source]) {
    if (address !== undefined && !net.isIP(address)) throw new Error(`${address} is not an address`);
  }
  const ipv6 = net.isIPv6(group);
  const where = nameInterface(values.interface, ipv6);

  const socket = dgram.createSocket(ipv6 ? 'udp6' : 'udp4');
  socket.on('error', fail);
  const local = {}; // any address and port
  if (values.source) local.address = values.source.startsWith('fe80:') ? `${values.source}%${values.interface}` : values.source;
  socket.bind(local, () => {
    socket.setMulticastInterface(where);
    socket.setMulticastTTL(Number(values.ttl));
    const send = (left) => {
      if (left === 0) {
        socket.close(); // nothing left to wait for: Node exits with 0
        return;
      }
      socket.send(values.payload, Number(port), group, (error) => (error ? fail(error) : send(left - 1)));
    };
    send(Number(values.count));
  });
}

process.on('uncaughtException', fail);
main();
