/** The parameters of HVM domains: which there are, what they take, what they are to begin with. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import { xenAtLeast } from '#dist/xc/interface.js';
import { bareDomain, hvmDomain, pvDomain, type TestDomain } from './domains.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const get = (domain: TestDomain, param: number): bigint => xc.xc_hvm_param_get(xch, domain.domid, param);
const set = (domain: TestDomain, param: number, value: number | bigint): string =>
  outcome(() => xc.xc_hvm_param_set(xch, domain.domid, param, value));

/** Numbers that mean nothing any more. */
const GONE = [4, 13, 20, 21, 22, 23, 24, 25, 26, 30];
/** Any value at all. */
const PLAIN = [0, 1, 2, 3, 7, 8, 11, 12, 16, 17, 18, 27, 28, 29, 34];
const WIDE = 0x0123_4567_89ab_cdefn;

test('an unknown number is EINVAL, for getting and for setting', () => {
  using domain = hvmDomain(target, { pages: 0 });
  for (const param of [...GONE, xc.HVM_NR_PARAMS, 99, 0xffff_ffff]) {
    assert.equal(
      outcome(() => get(domain, param)),
      'EINVAL',
      `get ${param}`,
    );
    assert.equal(set(domain, param, 0), 'EINVAL', `set ${param}`);
  }
});

test('all are 0 in a new domain, but the reason of a triple fault, and on Intel the width of the x87 pointers', () => {
  const intel = (((xc.xc_physinfo(xch).hw_cap[1] ?? 0) >>> 5) & 1) === 1;
  const first = new Map([
    [xc.HVM_PARAM_TRIPLE_FAULT_REASON, xc.SHUTDOWN_reboot],
    [xc.HVM_PARAM_X87_FIP_WIDTH, intel ? 8 : 0],
  ]);
  using domain = hvmDomain(target, { pages: 0 });
  for (let param = 0; param < xc.HVM_NR_PARAMS; param++) {
    if (GONE.includes(param)) continue;
    assert.equal(get(domain, param), BigInt(first.get(param) ?? 0), `param ${param}`);
  }
});

test('plain parameters hold all 64 bits, and each its own', () => {
  using domain = hvmDomain(target, { pages: 0 });
  for (const param of PLAIN) assert.equal(set(domain, param, WIDE + BigInt(param)), 'ok', `param ${param}`);
  for (const param of PLAIN) assert.equal(get(domain, param), WIDE + BigInt(param), `param ${param}`);
  for (const param of PLAIN) assert.equal(set(domain, param, 0), 'ok', `param ${param}`);
  for (const param of PLAIN) assert.equal(get(domain, param), 0n, `param ${param}`);
});

describe('values', () => {
  const values: readonly (readonly [string, number, readonly (readonly [number | bigint, string])[]])[] = [
    [
      'IOREQ_PFN is set once',
      xc.HVM_PARAM_IOREQ_PFN,
      [
        [0, 'ok'],
        [7, 'ok'],
        [7, 'ok'],
        [8, 'EEXIST'],
        [0, 'EEXIST'],
      ],
    ],
    [
      'BUFIOREQ_PFN is set once',
      xc.HVM_PARAM_BUFIOREQ_PFN,
      [
        [7, 'ok'],
        [8, 'EEXIST'],
      ],
    ],
    [
      'IOREQ_SERVER_PFN is set once',
      xc.HVM_PARAM_IOREQ_SERVER_PFN,
      [
        [0, 'ok'],
        [7, 'ok'],
        [8, 'EEXIST'],
      ],
    ],
    [
      'NR_IOREQ_SERVER_PAGES is 1 to 64, once',
      xc.HVM_PARAM_NR_IOREQ_SERVER_PAGES,
      [
        [0, 'EINVAL'],
        [65, 'EINVAL'],
        [8, 'ok'],
        [9, 'EEXIST'],
      ],
    ],
    [
      'VIRIDIAN has its first bit set, once',
      xc.HVM_PARAM_VIRIDIAN,
      [
        [0, 'EINVAL'],
        [2, 'EINVAL'],
        [1, 'ok'],
        [3, 'EEXIST'],
      ],
    ],
    [
      'TIMER_MODE is 0 to 3',
      xc.HVM_PARAM_TIMER_MODE,
      [
        [3, 'ok'],
        [4, 'EINVAL'],
        [WIDE, 'EINVAL'],
        [0, 'ok'],
      ],
    ],
    [
      'ACPI_S_STATE is 0 or 3',
      xc.HVM_PARAM_ACPI_S_STATE,
      [
        [1, 'EINVAL'],
        [2, 'EINVAL'],
        [4, 'EINVAL'],
        [5, 'EINVAL'],
        [0, 'ok'],
      ],
    ],
    [
      'VM86_TSS has 32 bits',
      xc.HVM_PARAM_VM86_TSS,
      [
        [0xffff_ffff, 'ok'],
        [2 ** 32, 'EINVAL'],
      ],
    ],
    [
      'VM86_TSS_SIZED needs a size',
      xc.HVM_PARAM_VM86_TSS_SIZED,
      [
        [0, 'EINVAL'],
        [0x1000, 'EINVAL'],
        [(104n << 32n) | 0x1000n, 'ok'],
      ],
    ],
    [
      'TRIPLE_FAULT_REASON is 0 to 5',
      xc.HVM_PARAM_TRIPLE_FAULT_REASON,
      [
        [0, 'ok'],
        [5, 'ok'],
        [6, 'EINVAL'],
      ],
    ],
    [
      'X87_FIP_WIDTH is 0, 4 or 8',
      xc.HVM_PARAM_X87_FIP_WIDTH,
      [
        [4, 'ok'],
        [8, 'ok'],
        [0, 'ok'],
        [1, 'EINVAL'],
        [16, 'EINVAL'],
      ],
    ],
    [
      'ACPI_IOPORTS_LOCATION needs the device',
      xc.HVM_PARAM_ACPI_IOPORTS_LOCATION,
      [
        [0, 'ENODEV'],
        [1, 'ENODEV'],
      ],
    ],
    [
      'MCA_CAP knows no feature that this host has',
      xc.HVM_PARAM_MCA_CAP,
      [
        [0, 'ok'],
        [2, 'EINVAL'],
      ],
    ],
  ];
  for (const [name, param, steps] of values) {
    test(name, () => {
      using domain = hvmDomain(target, { pages: 0 });
      for (const [value, expected] of steps) {
        const before = get(domain, param);
        assert.equal(set(domain, param, value), expected, `${value}`);
        assert.equal(get(domain, param), expected === 'ok' ? BigInt(value) : before, `after ${value}`);
      }
    });
  }

  test('VM86_TSS sets the sized one, too', () => {
    using domain = hvmDomain(target, { pages: 0 });
    assert.equal(set(domain, xc.HVM_PARAM_VM86_TSS, 0x1000), 'ok');
    assert.equal(get(domain, xc.HVM_PARAM_VM86_TSS_SIZED), (128n << 32n) | 0x1000n);
  });

  test('a size beyond all use is cut', () => {
    using domain = hvmDomain(target, { pages: 0 });
    assert.equal(set(domain, xc.HVM_PARAM_VM86_TSS_SIZED, (99_999n << 32n) | 0x1000n), 'ok');
    assert.equal(get(domain, xc.HVM_PARAM_VM86_TSS_SIZED), (8329n << 32n) | 0x1000n);
  });

  test('with all devices there are ACPI ports at one of two places', () => {
    using domain = bareDomain(target, { arch: { emulation_flags: 0x3ff } });
    assert.equal(set(domain, xc.HVM_PARAM_ACPI_IOPORTS_LOCATION, 1), 'ok');
    assert.equal(set(domain, xc.HVM_PARAM_ACPI_IOPORTS_LOCATION, 2), 'EINVAL');
    assert.equal(get(domain, xc.HVM_PARAM_ACPI_IOPORTS_LOCATION), 1n);
  });
});

describe('the altp2m mode', () => {
  const param = xc.HVM_PARAM_ALTP2M;
  const atCreation = xenAtLeast(xch, '4.19');

  test('is set once up to 4.18, whether the host has altp2m or not; later it comes with the creation', () => {
    using domain = hvmDomain(target, { pages: 0 });
    if (atCreation) {
      for (const mode of [0, 1, 4]) assert.equal(set(domain, param, mode), 'EEXIST');
      return;
    }
    for (const [mode, expected] of [
      [0, 'ok'],
      [4, 'EINVAL'],
      [2, 'ok'],
      [2, 'ok'],
      [1, 'EEXIST'],
      [0, 'EEXIST'],
      [4, 'EEXIST'],
    ] as const) {
      assert.equal(set(domain, param, mode), expected, `mode ${mode}`);
    }
    assert.equal(get(domain, param), 2n);
  });

  test('excludes nested virtualisation', { skip: atCreation ? 'the mode comes with the creation' : false }, () => {
    const flags = xc.XEN_DOMCTL_CDF_hvm | xc.XEN_DOMCTL_CDF_hap | xc.XEN_DOMCTL_CDF_nested_virt;
    using domain = bareDomain(target, { flags });
    assert.equal(set(domain, param, 0), 'ok');
    for (const mode of [1, 2, 3]) assert.equal(set(domain, param, mode), 'EINVAL', `mode ${mode}`);
  });
});

test('a PV domain has none: EINVAL', () => {
  using domain = pvDomain(target);
  for (const param of [0, xc.HVM_PARAM_STORE_PFN, xc.HVM_PARAM_ALTP2M, 99]) {
    assert.equal(
      outcome(() => get(domain, param)),
      'EINVAL',
    );
    assert.equal(set(domain, param, 0), 'EINVAL');
  }
});
