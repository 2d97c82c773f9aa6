// What docs/spec says, read from the documents themselves, so that a test fails when a row is added
// to one of them and not to it.
import fs from 'node:fs';

const text = (name) => fs.readFileSync(new URL(`../../../docs/spec/${name}`, import.meta.url), 'utf8');

/// The rows of a section of mapping.md, by their first column; of 5c, which is a list, its entries
/// without the status codes. section: '1a', ...
export function mappingRows(section) {
  const lines = text('mapping.md').split('\n');
  const start = lines.findIndex((line) => line.startsWith(`### ${section}. `));
  if (start < 0) throw new Error(`mapping.md has no section ${section}`);
  const length = lines.slice(start + 1).findIndex((line) => line.startsWith('#') || line.startsWith('---'));
  const body = lines.slice(start + 1, start + 1 + length);
  const cells = body.filter((line) => /^\|/.test(line)).map((line) => line.split(' | ')[0].replace(/^\| /, ''));
  if (cells.length) return cells.filter((cell) => !/^\|-/.test(cell)).slice(1);
  return body.join(' ').trim().replace(/\.$/, '').split(' · ').map((entry) => entry.replace(/ \d{3}.*$/, ''));
}

/// status_codes.csv: [{ code, name, services, fields }], the services as DIMSE names them, without
/// what stands in parentheses.
export function statusCodes() {
  const [, ...rows] = text('status_codes.csv').trim().split('\n');
  return rows.map((row) => {
    const [code, name, , services, fields] =
      [...row.matchAll(/(?:^|,)("(?:[^"]|"")*"|[^,]*)/g)].map(([, value]) => value.replace(/^"|"$/g, '').replaceAll('""', '"'));
    const named = services.replace(/\((?!MWL)[^)]*\)/g, '').match(/C-FIND|N-CREATE|N-SET|N-GET/g) ?? [];
    return { code, name, services: named, fields };
  });
}
