/** FTP and TFTP: control connections that announce others. */
import { join } from 'node:path';
import { type Lab, SERVER } from '../lab.js';
import { routed, type Scenario } from './scenario.js';

/** A directory with files of so many bytes, readable by the servers' own users. */
async function startFiles(lab: Lab, ...sizes: readonly number[]): Promise<string> {
  const files = join(lab.directory, 'files');
  const makes = sizes.map(size => `head -c ${size} /dev/urandom >${files}/${size}`);
  await lab.run('server', `chmod 755 ${lab.directory}; mkdir ${files}; ${makes.join('; ')}; chmod -R a+rX ${files}`);
  return files;
}

/** vsftpd for anonymous readers, on two ports. */
async function startFtp(lab: Lab): Promise<void> {
  const files = await startFiles(lab, 10, 3000);
  const empty = join(lab.directory, 'empty');
  await lab.run('server', `mkdir -m 755 ${empty}`);
  for (const port of [21, 2121]) {
    const lines = [
      'listen=NO',
      'listen_ipv6=YES',
      `listen_port=${port}`,
      'background=NO',
      'anonymous_enable=YES',
      'local_enable=NO',
      `anon_root=${files}`,
      `secure_chroot_dir=${empty}`,
      'connect_from_port_20=YES',
      'seccomp_sandbox=NO',
      'isolate_network=NO',
      'xferlog_enable=NO',
    ];
    const path = join(lab.directory, `vsftpd-${port}.conf`);
    await lab.run('server', `printf '%s\\n' ${lines.join(' ')} >${path}`);
    await lab.serve('server', 'tcp', port, `vsftpd ${path}`);
  }
}

async function fetchFtp(lab: Lab): Promise<void> {
  const curl = 'curl -m 9 -sg -o /dev/null';
  for (const host of [SERVER.v4, `[${SERVER.v6}]`]) {
    const url = `ftp://${host}/3000`;
    await lab.run('client', `${curl} ${url}`);
    await lab.run('client', `${curl} --ftp-port - ${url}`);
    await lab.run('client', `${curl} --ftp-port - ftp://${host}:2121/10`);
  }
  await lab.run('client', `${curl} --disable-epsv ftp://${SERVER.v4}/3000`);
  await lab.run('client', `${curl} --disable-eprt --ftp-port - ftp://${SERVER.v4}/3000`);
  for (const host of [SERVER.v4, `[${SERVER.v6}]`]) {
    for (const mode of ['on', 'off']) {
      const commands = `set net:max-retries 1; set ftp:passive-mode ${mode}; cls; cat 10 3000; cls; bye`;
      await lab.run('client', `HOME=${lab.directory} lftp -e '${commands}' ftp://${host} >/dev/null`);
    }
  }
}

async function startTftp(lab: Lab): Promise<void> {
  const files = await startFiles(lab, 10, 1500);
  await lab.serve('server', 'udp', 69, `in.tftpd --foreground --address :69 --secure ${files}`);
  await lab.serve('server', 'udp', 6969, `in.tftpd --foreground --address :6969 --secure ${files}`);
}

async function fetchTftp(lab: Lab): Promise<void> {
  for (const host of [SERVER.v4, SERVER.v6]) {
    for (const file of ['10', '1500', 'missing']) {
      await lab.attempt('client', `tftp -m binary ${host} -c get ${file} /dev/null`);
    }
  }
  await lab.attempt('client', `tftp -m binary ${SERVER.v4} 6969 -c get 1500 /dev/null`);
}

export const TRANSFER: readonly Scenario[] = [
  routed(
    {
      name: 'ftp',
      description: 'FTP active and passive, with EPRT and EPSV and without, IPv4 and IPv6, on two ports',
      programs: 'curl, lftp, vsftpd',
    },
    fetchFtp,
    startFtp,
  ),
  routed(
    {
      name: 'tftp',
      description: 'TFTP, files of one and several blocks and a missing one, IPv4 and IPv6, on two ports',
      programs: 'tftp-hpa, tftpd-hpa',
    },
    fetchTftp,
    startTftp,
  ),
];
