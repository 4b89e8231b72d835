/**
 * Rule text to rules: what is taken, what is refused and with which words.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FlowAction } from '../../src/flows/actions.js';
import { FlowError, type FlowTextOptions, PORT, parseFlows, SUPPORTED } from '../../src/flows/index.js';
import { KEY } from '../../src/flows/key.js';
import type { FlowRule } from '../../src/flows/parse.js';
import { ACCEPTED, REFUSED, STRICTER } from './rules.js';

function refusal(text: string, options?: FlowTextOptions): FlowError {
  try {
    parseFlows(text, options);
  } catch (error) {
    if (error instanceof FlowError) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: `was taken: ${text}` });
}

function only(text: string, options?: FlowTextOptions): FlowRule {
  const { rules } = parseFlows(text, options);
  assert.equal(rules.length, 1);
  return rules[0];
}

function actionsOf(text: string, options?: FlowTextOptions): readonly FlowAction[] {
  return only(`table=3,${text}`, options).actions;
}

/** The words of the match that are not empty, by name, as unsigned numbers. */
function matchOf(text: string): Record<string, readonly [value: number, mask: number]> {
  const { match } = only(`${text},actions=drop`);
  const names = Object.entries(KEY);
  const found: Record<string, readonly [number, number]> = {};
  for (const [word, mask] of match.mask.entries()) {
    if (mask === 0) continue;
    const [name, first] = names.findLast(([, start]) => start <= word) ?? ['?', 0];
    found[word === first ? name : `${name}+${word - first}`] = [match.value[word] >>> 0, mask >>> 0];
  }
  return found;
}

const ALL = 0xffff_ffff;

describe('rules that are taken', () => {
  for (const text of ACCEPTED) it(text, () => void only(text));
});

describe('rules that are refused', () => {
  for (const [text, word] of [...REFUSED, ...STRICTER]) {
    it(text, () => {
      const error = refusal(`# a comment\n\n${text}`);
      assert.equal(error.line, 3);
      assert.equal(error.word, word);
      assert.match(error.message, /^line 3: /);
      assert.doesNotMatch(error.message, /[\n\r]/);
      assert.equal(error.message.includes(JSON.stringify(word)), word !== '', error.message);
    });
  }

  it('shows a long or wild word short and on one line', () => {
    const { message } = refusal(`actions=${'x'.repeat(5000)}`);
    assert.ok(message.length < 160, message);
    const wild = refusal('actions=a\u0007b\u0085\u009f').message;
    assert.doesNotMatch(wild, /\p{Cc}/u);
  });
});

describe('the text around the rules', () => {
  it('comments and blank lines do not count, lines do', () => {
    const { rules } = parseFlows('# one\n\nip,actions=1 # and more\r\n\t\nipv6,actions=2');
    assert.deepEqual(
      rules.map(({ line, table, priority }) => [line, table, priority]),
      [
        [3, 0, 32768],
        [5, 0, 32768],
      ],
    );
  });

  it('an empty text is a table without rules', () => assert.deepEqual(parseFlows('').rules, []));

  it('a rule replaces an earlier one with the same table, priority and match', () => {
    const text = 'ip,nw_src=1.2.3.4/8,actions=1\nip,actions=2\nnw_src=1.9.9.9/8,ip,actions=3\ntable=1,ip,actions=4';
    assert.deepEqual(
      parseFlows(text).rules.map(({ line }) => line),
      [2, 3, 4],
    );
  });
});

describe('matches', () => {
  const TCP = { DL_TYPE: [0x800, 0xffff], NW_PROTO: [6, 0xff] } as const;
  const cases: readonly (readonly [text: string, match: Record<string, readonly [number, number]>])[] = [
    ['in_port=7', { IN_PORT: [7, 0xffff_ffff] }],
    ['in_port=local', { IN_PORT: [0xfffe, 0xffff_ffff] }],
    ['tcp', TCP],
    ['udp6', { DL_TYPE: [0x86dd, 0xffff], NW_PROTO: [17, 0xff] }],
    ['tcp,tp_dst=83/0xfff0', { ...TCP, TP_DST: [80, 0xfff0] }],
    ['tcp,tcp_flags=+syn-ack', { ...TCP, TCP_FLAGS: [2, 0x12] }],
    ['tcp,tcp_flags=syn|ack', { ...TCP, TCP_FLAGS: [0x12, 0xfff] }],
    ['ip,nw_dst=10.1.2.3/8', { DL_TYPE: [0x800, 0xffff], 'DST+3': [0x0a000000, 0xff000000] }],
    ['ip,nw_dst=10.1.2.3/0', { DL_TYPE: [0x800, 0xffff] }],
    ['ip,nw_src=1.2.3.4/255.0.0.255', { DL_TYPE: [0x800, 0xffff], 'SRC+3': [0x01000004, 0xff0000ff] }],
    [
      'ipv6,ipv6_src=2001:db8::1:2/112',
      {
        DL_TYPE: [0x86dd, 0xffff],
        SRC: [0x20010db8, ALL],
        'SRC+1': [0, ALL],
        'SRC+2': [0, ALL],
        'SRC+3': [0x10000, 0xffff0000],
      },
    ],
    ['ipv6,ipv6_dst=::1.2.3.4/::ffff', { DL_TYPE: [0x86dd, 0xffff], 'DST+3': [0x0304, 0xffff] }],
    ['dl_vlan=5', { VLAN_TCI: [0x1005, 0x1fff] }],
    ['dl_vlan=0xffff', { VLAN_TCI: [0, 0x1fff] }],
    ['dl_vlan_pcp=5', { VLAN_TCI: [0xb000, 0xf000] }],
    ['dl_src=01:02:03:04:05:06', { DL_SRC: [0x0102, 0xffff], 'DL_SRC+1': [0x03040506, ALL] }],
    ['ct_state=+trk+new-est', { CT_STATE: [0x21, 0x23] }],
    ['ct_state=new|trk', { CT_STATE: [0x21, 0xff] }],
    ['ct_state=0x21/0x23', { CT_STATE: [0x21, 0x23] }],
    ['ct_state=+dnat+snat+inv+rpl+rel', { CT_STATE: [0xdc, 0xdc] }],
    ['ct_mark=0xff/0x0f', { CT_MARK: [0x0f, 0x0f] }],
    ['ct_label=0x5/0x5', { 'CT_LABEL+3': [5, 5] }],
    ['ct_label=0x10000000000000000/0xf0000000000000000', { 'CT_LABEL+1': [1, 15] }],
    ['metadata=0x100000002', { METADATA: [1, ALL], 'METADATA+1': [2, ALL] }],
    ['reg3=9', { 'REG+3': [9, ALL] }],
    ['xreg1=0x100000002', { 'REG+2': [1, ALL], 'REG+3': [2, ALL] }],
    ['ip,nw_frag=yes', { DL_TYPE: [0x800, 0xffff], NW_FRAG: [1, 1] }],
    ['ip,nw_frag=first', { DL_TYPE: [0x800, 0xffff], NW_FRAG: [1, 3] }],
    ['ip,nw_frag=later', { DL_TYPE: [0x800, 0xffff], NW_FRAG: [3, 3] }],
    ['ip,nw_frag=not_later', { DL_TYPE: [0x800, 0xffff], NW_FRAG: [0, 2] }],
    ['ip,nw_frag=no', { DL_TYPE: [0x800, 0xffff], NW_FRAG: [0, 3] }],
    ['arp,arp_op=1', { DL_TYPE: [0x806, 0xffff], NW_PROTO: [1, 0xff] }],
    ['icmp6,icmp_type=135', { DL_TYPE: [0x86dd, 0xffff], NW_PROTO: [58, 0xff], TP_SRC: [135, 0xff] }],
  ];
  for (const [text, match] of cases) it(text, () => assert.deepEqual(matchOf(text), match));
});

describe('ports', () => {
  it('have the names that the caller gives, in an array', () => {
    const { match, actions } = only('in_port=lan,actions=wan,output:lan', { ports: ['lan', 'wan'] });
    assert.equal(match.value[KEY.IN_PORT], 1);
    assert.deepEqual(actions, [
      { kind: 'output', port: 2 },
      { kind: 'output', port: 1 },
    ]);
  });

  it('or in a map, also such as look like something else', () => {
    const ports = new Map([
      ['eth0.5', 7],
      ['normal', 9],
      ['a b', 4],
    ]);
    assert.deepEqual(actionsOf('actions=eth0.5,output:normal,output:"eth0.5"', { ports }), [
      { kind: 'output', port: 7 },
      { kind: 'output', port: 9 },
      { kind: 'output', port: 7 },
    ]);
  });

  it('reserved ones are outputs as well', () => {
    assert.deepEqual(
      actionsOf('actions=in_port,normal,controller:99,LOCAL').map(action => action.kind === 'output' && action.port),
      [PORT.IN_PORT, PORT.NORMAL, PORT.CONTROLLER, PORT.LOCAL],
    );
  });
});

describe('ct()', () => {
  const PLAIN = {
    zone: 0,
    commit: false,
    force: false,
    mark: undefined,
    label: undefined,
    nat: undefined,
    alg: undefined,
    variesByPacket: false,
  };
  const NAT = { addresses: undefined, ports: undefined, random: false, hash: false, persistent: false };
  const specOf = (text: string) => {
    const [action] = actionsOf(text);
    assert.equal(action.kind, 'ct');
    return action.kind === 'ct' ? action : undefined;
  };
  const v4 = (min: bigint, max: bigint) => ({ isIpv6: false, min, max });
  const cases: readonly (readonly [text: string, spec: object])[] = [
    ['ip,actions=ct', {}],
    ['ip,actions=ct(commit,force,zone=7)', { commit: true, force: true, zone: 7 }],
    ['udp,actions=ct(alg=tftp)', { alg: 'tftp' }],
    ['ip,actions=ct(nat)', { nat: { kind: 'restore', ...NAT } }],
    ['ip,actions=ct(commit,nat(dst,hash))', { commit: true, nat: { kind: 'dst', ...NAT, hash: true } }],
    [
      'ip,actions=ct(commit,nat(src=10.0.0.1-10.0.0.9:5-7,random,persistent))',
      {
        commit: true,
        nat: {
          ...NAT,
          kind: 'src',
          addresses: v4(0x0a000001n, 0x0a000009n),
          ports: { min: 5, max: 7 },
          random: true,
          persistent: true,
        },
      },
    ],
    [
      'ip,actions=ct(commit,nat(dst=1.2.3.4:80))',
      {
        commit: true,
        nat: { ...NAT, kind: 'dst', addresses: v4(0x01020304n, 0x01020304n), ports: { min: 80, max: 80 } },
      },
    ],
    [
      'ipv6,actions=ct(commit,nat(src=[fd00::1]-[fd00::ff]:9))',
      {
        commit: true,
        nat: {
          ...NAT,
          kind: 'src',
          addresses: { isIpv6: true, min: (0xfd00n << 112n) | 1n, max: (0xfd00n << 112n) | 0xffn },
          ports: { min: 9, max: 9 },
        },
      },
    ],
    [
      'ip,actions=ct(commit,exec(set_field:0x12/0xf0->ct_mark,load:3->NXM_NX_CT_MARK[0..3]))',
      { commit: true, mark: { value: 0x13, mask: 0xff } },
    ],
    [
      'ip,actions=ct(commit,exec(set_field:0xff->ct_mark,load:0->NXM_NX_CT_MARK[4..7]))',
      { commit: true, mark: { value: 0x0f, mask: ALL } },
    ],
    [
      'ip,actions=ct(commit,exec(load:1->NXM_NX_CT_LABEL[127]))',
      { commit: true, label: { value: 1n << 127n, mask: 1n << 127n } },
    ],
    ['ip,actions=ct(zone=NXM_NX_REG1[0..15])', { variesByPacket: true }],
    [
      'ip,actions=ct(commit,exec(move:NXM_NX_REG0[0..7]->NXM_NX_CT_MARK[8..15]))',
      { commit: true, mark: { value: 0, mask: 0xff00 }, variesByPacket: true },
    ],
  ];
  for (const [text, spec] of cases) it(text, () => assert.deepEqual(specOf(text)?.spec, { ...PLAIN, ...spec }));

  it('says where the packet goes next', () => {
    assert.equal(specOf('ip,actions=ct(table=9)')?.table, 9);
    assert.equal(specOf('ip,actions=ct(commit)')?.table, undefined);
  });
});

describe('other actions', () => {
  const resubmit = (port: number | undefined, table: number | undefined) => ({ kind: 'resubmit', port, table });
  const cases: readonly (readonly [text: string, actions: readonly object[]])[] = [
    ['actions=drop', []],
    ['actions=resubmit:5', [resubmit(5, undefined)]],
    ['actions=resubmit(,4)', [resubmit(undefined, 4)]],
    ['actions=resubmit(6, 4)', [resubmit(6, 4)]],
    ['actions=resubmit(in_port,4)', [resubmit(undefined, 4)]],
    ['actions=ct_clear,goto_table:200', [{ kind: 'ct-clear' }, { kind: 'goto', table: 200 }]],
  ];
  for (const [text, actions] of cases) it(text, () => assert.deepEqual(actionsOf(text), actions));
});

describe('the list of what is supported', () => {
  it('names every match, and no other word is one', () => {
    for (const name of SUPPORTED.matches) {
      const { reason } = refusal(`${name}=,actions=drop`);
      assert.match(reason, /needs a value/, name);
    }
    for (const name of SUPPORTED.protocols) void only(`${name},actions=drop`);
  });

  it('names every action', () => {
    for (const name of SUPPORTED.actions) {
      const [start] = [`ip,actions=${name}(,,`].map(text => refusal(text));
      assert.doesNotMatch(start.reason, /not an action/, name);
    }
  });

  it('names the arguments of ct() and nat()', () => {
    for (const name of SUPPORTED.ct) {
      try {
        parseFlows(`tcp,actions=ct(${name})`);
      } catch (error) {
        assert.ok(error instanceof FlowError);
        assert.doesNotMatch(error.reason, /not an argument/, name);
      }
    }
    for (const name of SUPPORTED.nat) {
      void only(`ip,actions=ct(commit,nat(${name === 'src' || name === 'dst' ? name : `src,${name}`}))`);
    }
    for (const alg of SUPPORTED.alg) void only(`${alg === 'ftp' ? 'tcp' : 'udp'},actions=ct(alg=${alg})`);
  });

  it('names the fields that can be written', () => {
    for (const name of SUPPORTED.writable.rule) void only(`actions=set_field:1->${name}`);
    for (const name of SUPPORTED.writable.exec) void only(`ip,actions=ct(commit,exec(set_field:1->${name}))`);
  });
});
