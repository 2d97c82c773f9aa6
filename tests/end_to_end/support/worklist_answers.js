// What every answer to a worklist query must keep to, whoever gives it.
import assert from 'node:assert/strict';
import { withoutCharacterSet } from './dcmtk.js';

/// How many of DCMTK's example items each of its example queries finds, so that nobody compares nothing
/// with nothing: seven of the thirteen ask for stations that the items do not have.
export const foundByExampleQueries = [10, 10, 0, 10, 0, 6, 0, 0, 0, 0, 10, 10, 0];

/// Matching keys as a query dump with one scheduled step: Modality, station, start date, start time.
export const step = (...keys) => `(0010,0010) PN []\n(0010,0020) LO []\n(0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS ${
  keys[0] ?? '[]'}\n(0040,0001) AE ${keys[1] ?? '[]'}\n(0040,0002) DA ${keys[2] ?? '[]'}\n(0040,0003) TM ${
  keys[3] ?? '[]'}\n(0040,0009) SH []\n(fffe,e00d) -\n(fffe,e0dd) -\n`;

/// Questions that narrow the example worklist: name, query dump, how many items match where that is known.
export const matchingKeys = [
  ['single value: Modality CT', step('[CT]'), 4],
  ['a value that several stations share', step('[]', '[AA32]'), 2],
  ['a date range', step('[]', '[]', '[19951001-19951231]'), undefined],
  ['an open date range', step('[]', '[]', '[19960101-]'), undefined],
  ['a date and a time range, combined (F4)', step('[]', '[]', '[19950101-19961231]', '[120000-180000]'), undefined],
  ['a wildcard in a name', step().replace('PN []', 'PN [VIV*]'), 3],
  ['a name in other letters', step().replace('PN []', 'PN [vivaldi^antonio]'), undefined],
  ['a question mark', step().replace('LO []', 'LO [AV?5674]'), undefined],
  ['a list of UIDs (A7)',
    `(0010,0010) PN []\n(0020,000d) UI [1.2.276.0.7230010.3.2.101\\1.2.276.0.7230010.3.2.105]\n`, undefined],
  ['a sequence without items', '(0010,0010) PN []\n(0040,0100) SQ\n(fffe,e0dd) -\n', 10],
  ['no step sequence at all', '(0010,0010) PN []\n(0020,000d) UI []\n', 10],
  ['a key of no worklist attribute (A22)', '(0010,0010) PN []\n(0008,0081) ST []\n', undefined],
  ['a station nobody has', step('[]', '[NOWHERE]'), 0],
];

/// Nothing that the identifier did not ask for, at any level. An empty sequence or item asks for all
/// of it (PS3.4, C.2.2.2.6).
export function expectOnlyWhatWasAsked(asked, given, where = '') {
  for (const [tag, { vr, value }] of Object.entries(given)) {
    if (tag === '00080005') continue; // says how the text is written; allowed by K.4.1.1.3.2
    assert.ok(asked[tag], `${where}${tag} was not asked for`);
    const item = asked[tag].value?.[0];
    if (vr !== 'SQ' || !item || Object.keys(item).length === 0) continue;
    for (const inner of value) expectOnlyWhatWasAsked(item, inner, `${where}${tag}.`);
  }
}

export function expectCharacterSetOnlyIfNeeded(dataSet, where = '') {
  const text = JSON.stringify(withoutCharacterSet(dataSet));
  if (/^[\x00-\x7f]*$/.test(text)) {
    assert.ok(!dataSet['00080005'], `${where}(0008,0005) although all is ASCII`);
  }
}

