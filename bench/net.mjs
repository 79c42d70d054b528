// Packets: translating and completing them in memory against C with AVX2 that knows its input, and against plain
// JavaScript; checksums against loading the same bytes; a capture through `xenctrl net nat` against tcprewrite. Aims: half
// of C, five times plain JavaScript, 0.7 of the loads, three times tcprewrite; constant memory for a large capture. In memory, processor time is measured.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile, Missing, orSkipped, ROOT, requireAddon } from './lib/compile.mjs';
import { Contender, summary } from './lib/interleave.mjs';

/** Packets and flows of what is gone through in memory: turns of about a millisecond. */
const SMALL = [20_000, 256];
/** Packets and flows of what goes from file to file, and turns. */
const LARGE = [1_000_000, 4096];
const TURNS = 5;
/** Packets of a capture of 1 GB. */
const HUGE = [2_800_000, 4096];

export async function* bench() {
  yield* orSkipped('all', async function* () {
    requireAddon();
    if (process.arch !== 'x64') throw new Missing('the rival is for x86-64');
    const program = compile('bench/children/net.c', 'net', []);
    const folder = mkdtempSync(join(tmpdir(), 'xenctrl-bench-'));
    const capture = (name, [packets, flows]) => {
      const path = join(folder, name);
      const { status } = spawnSync(program, ['gen', path, String(packets), String(flows)]);
      if (status !== 0) throw new Error(`${path} could not be made`);
      return path;
    };
    try {
      yield* inMemory(program, capture('small.pcap', SMALL));
      yield* orSkipped('from file to file', () => throughFiles(folder, capture('large.pcap', LARGE)));
      yield* largeCapture(capture('huge.pcap', HUGE));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

async function* inMemory(program, path) {
  const ours = new Contender('xenctrl', process.execPath, [`${ROOT}/bench/children/net.mjs`, path]);
  const rival = new Contender('C', program, [path]);
  const [packets] = SMALL;
  const bytes = statSync(path).size;
  const against = async function* (name, [us, them], [contender, rivalCase, rivalName], unit, amount) {
    const samples = { us: [], them: [] };
    for (let turn = -3; turn < 101; turn++) {
      const [mine, theirs] = [await ours.measure(us, 1), await contender.measure(rivalCase ?? them, 1)];
      if (turn < 0) continue;
      samples.us.push(mine);
      samples.them.push(theirs);
    }
    const [one, other] = [summary(samples.us), summary(samples.them)];
    for (const kind of ['best', 'median']) {
      const rate = (nanoseconds) => (amount / nanoseconds) * 1e9;
      yield { case: `${name}, ${kind}`, ours: rate(one[kind]), rival: rate(other[kind]), rivalName, unit };
    }
  };
  try {
    yield* against(
      'NAT and completion in memory',
      ['nat', 'nat'],
      [rival, 'nat', 'C with AVX2, no connections'],
      'packets/s',
      packets,
    );
    yield* against(
      'NAT and completion in memory',
      ['nat', 'plain'],
      [ours, 'plain', 'plain JavaScript, no connections'],
      'packets/s',
      packets,
    );
    yield* against(
      'NAT and completion in memory',
      ['nat', 'typescript'],
      [ours, 'typescript', 'the same without the addon'],
      'packets/s',
      packets,
    );
    yield* against(
      'completion in memory',
      ['finish', 'nat'],
      [rival, 'nat', 'C with AVX2, and NAT'],
      'packets/s',
      packets,
    );
    yield* against(
      'checksum of all bytes',
      ['sum', 'load'],
      [rival, 'load', 'C with AVX2 that only loads them'],
      'MB/s',
      bytes / 1e6,
    );
  } finally {
    ours.end();
    rival.end();
  }
}

async function* throughFiles(folder, path) {
  const out = join(folder, 'out.pcap');
  const timed = (command, args) => {
    const start = process.hrtime.bigint();
    const { status, error, stderr } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    if (error) throw new Missing('tcprewrite is not installed (Debian: apt install tcpreplay)');
    if (status !== 0) throw new Error(`${command}: ${stderr}`);
    return Number(process.hrtime.bigint() - start);
  };
  const xenctrl = [`${ROOT}/bin/xenctrl.js`, 'net', 'nat', path, out, '--snat', '192.0.2.1', '--net', '10.0.0.0/8'];
  const rewrite = ['--fixcsum', '--srcipmap=10.0.0.0/8:192.0.2.1/32', '-i', path, '-o', out];
  const [ours, rival] = [[], []];
  for (let turn = 0; turn < TURNS; turn++) {
    // a new file each time: replacing one waits for the disk, truncating one does not
    rmSync(out, { force: true });
    ours.push(timed(process.execPath, xenctrl));
    rmSync(out);
    rival.push(timed('tcprewrite', rewrite));
  }
  const [packets] = LARGE;
  for (const kind of ['best', 'median']) {
    const rate = (samples) => (packets / summary(samples)[kind]) * 1e9;
    const name = `a capture of ${packets} packets: NAT, file to file, ${kind}`;
    yield {
      case: name,
      ours: rate(ours),
      rival: rate(rival),
      rivalName: 'tcprewrite --fixcsum --srcipmap',
      unit: 'packets/s',
    };
  }
}

/** The most memory that classifying a large capture takes, beside that of one a hundredth as large. */
async function* largeCapture(path) {
  const peak = (script) => {
    const { stdout, status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script, path], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout.trim().split('\n').at(-1));
  };
  const script = (limit) => `
    import { FileSource } from '#dist/net/capture/file.js';
    import { passCapture } from '#dist/net/capture/pass.js';
    import { ChecksumClassifier } from '#dist/net/classifier.js';
    const source = await FileSource.open(process.argv[1]);
    const classifier = new ChecksumClassifier();
    const start = performance.now();
    let position = 0;
    await passCapture(source, {
      work: (bytes, batch) => classifier.classify(bytes, batch),
      stopped: (at) => { position = at; return at > ${limit}; },
    });
    await source[Symbol.asyncDispose]();
    const seconds = (performance.now() - start) / 1000;
    console.log(JSON.stringify({ megabytes: process.resourceUsage().maxRSS / 1024, rate: position / 1e6 / seconds }));`;
  const whole = peak(script('Infinity'));
  const part = peak(script(1e7));
  const size = Math.round(statSync(path).size / 1e6);
  yield {
    case: `memory while ${size} MB are classified`,
    ours: whole.megabytes,
    rival: part.megabytes,
    rivalName: 'the same for 10 MB',
    unit: 'MB',
  };
  yield { case: `classifying ${size} MB`, ours: whole.rate, unit: 'MB/s' };
}
