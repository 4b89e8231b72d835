/** test/golden/README.md, from the index. */
import type { Golden, GoldenEntry } from './answers.js';

const LISTED_NUMBERS = 12;

export function readme({ reference, packaged, captures }: Golden): string {
  return `# Golden captures

Each \`NAME.pcap\` was recorded by \`test/record\` from real programs in network namespaces made for it. Beside it lie the
answers of a real Open vSwitch:

- \`NAME.states\`: a line per packet, as \`ovstest test-conntrack pcap\` prints it for commit in zone 0. The clock stands
  still, but for captures marked *clock*: those were answered by ovs-vswitchd, its clock at the millisecond of each packet.
  A fragment has the state of its datagram, or \`held\` when it never left.
- \`NAME.dump\`, \`NAME.dump-m\`: \`dpctl/dump-conntrack -s\` and \`-m -s\` of ovs-vswitchd after the last packet, sorted, the
  clock at floor(time since the first packet) in milliseconds.

| who | version |
|---|---|
| reference | ${reference.version}, ${reference.branch} |
| also asked | ${packaged.version}, as packaged by Debian 12 |

\`index.json\` holds the same for programs, with complete lists of packets. Frames without IP read \`inv|trk\` in
\`.states\`; ovs-vswitchd does not track them at all.

| capture | packets | shows | sent by | 3.1 differs at | the clock matters at |
|---|---|---|---|---|---|
${captures.map(row).join('\n')}

3.1 follows SCTP like any protocol it does not know: no ports, no checksum, no chunks. It refuses an ICMP error that
quotes a first fragment, and sends fragments on as invalid that it has given up. Everything else agrees.

Record again, as root: \`node dist/test/record/main.js [names...]\`. Ask again: \`node dist/test/record/answers.js [names...]\`
with the reference in \`OVS_BIN_DIRS\` (directories, separated as in PATH) and \`OVS_SCHEMA\`.
`;
}

function row(entry: GoldenEntry): string {
  const name = entry.clock === 'capture' ? `${entry.name} *clock*` : entry.name;
  const older = [list(entry.differs31), entry.dumpDiffers31 ? 'the dump' : ''].filter(text => text !== '').join('; ');
  const cells = [name, entry.packets, entry.description, entry.programs, older, list(entry.differsByClock)];
  return `| ${cells.join(' | ')} |`;
}

function list(numbers: readonly number[]): string {
  if (numbers.length <= LISTED_NUMBERS) return numbers.join(' ');
  return `${numbers.slice(0, LISTED_NUMBERS).join(' ')} … (${numbers.length})`;
}
