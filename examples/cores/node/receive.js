#!/usr/bin/env node
// Receives one channel of IP multicast on one interface and prints what comes in, a line each.
//
//     node receive.js GROUP PORT --interface NAME [--source ADDRESS]
//
// Node tells neither the destination address nor the interface nor the TTL of a datagram. Binding to the group keeps other
// groups and unicast out; what other programs have joined on another interface may still come in.
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
    options: { interface: { type: 'string' }, source: { type: 'string' }, version: { type: 'boolean' } },
  });
  if (values.version) {
    console.log(`receive.js on node ${process.version}`);
    return;
  }
  const [group, port] = positionals;
  if (positionals.length !== 2 || !values.interface) {
    throw new Error('usage: receive.js GROUP PORT --interface NAME [--source ADDRESS]');
  }
  for (const address of [group, values.source]) {
    if (address !== undefined && !net.isIP(address)) throw new Error(`${address} is not an address`);
  }
  const ipv6 = net.isIPv6(group);
  const where = nameInterface(values.interface, ipv6);

  const socket = dgram.createSocket({ type: ipv6 ? 'udp6' : 'udp4', reuseAddr: true });
  socket.on('error', fail);
  socket.on('message', (payload, from) => {
    const source = from.address.split('%')[0]; // the zone of a link-local address is that of the interface
    console.log(
      `datagram source=${source} source_port=${from.port} length=${payload.length} payload=${payload.toString('hex')}`,
    );
  });
  socket.bind({ address: ipv6 ? `${group}%${values.interface}` : group, port: Number(port) }, () => {
    if (values.source) socket.addSourceSpecificMembership(values.source, group, where);
    else socket.addMembership(group, where);
    console.log('ready');
  });
  // With the socket closed there is nothing left to wait for, and Node exits with 0.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => socket.close());
}

process.on('uncaughtException', fail);
main();
