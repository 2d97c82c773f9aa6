"""What the oracle scripts share: the data sets, and the ledger of differences.

A difference is known if docs/agreement.md has a row with its name. Any other fails, and so does a row
whose difference is not seen any more.
"""

import collections
import gzip
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Ledger:
    def __init__(self, section):
        """section: the heading in docs/agreement.md under which the known differences stand."""
        text = (ROOT / 'docs/agreement.md').read_text(encoding='utf-8')
        part = text.split(f'\n## {section}\n')[1].split('\n## ')[0]
        self.known = set(re.findall(r'^\| `([a-z-]+)` \|', part, re.M))
        self.seen = collections.Counter()
        self.failures = []
        self.compared = 0

    def known_difference(self, name, where):
        self.seen[name] += 1
        if name not in self.known:
            self.fail(where, f'difference {name} is not in docs/agreement.md')

    def fail(self, where, what):
        self.failures.append(f'{where}: {what}')

    def close(self, at_least):
        """Prints the result and exits: 0 if all agree."""
        for name in sorted(self.known | set(self.seen)):
            print(f'{self.seen[name]:6} × {name}')
            if not self.seen[name]:
                self.fail('docs/agreement.md', f'{name} is not seen any more')
        if self.compared < at_least:
            self.fail('data sets', f'only {self.compared} of at least {at_least} compared')
        for failure in self.failures[:20]:
            print('DIFFERS', failure)
        print(f'{self.compared} data sets compared, {len(self.failures)} unknown differences')
        sys.exit(1 if self.failures else 0)


def examples():
    """DCMTK's example worklist: its dumps as bytes, by name. See scripts/setup.sh."""
    places = [os.environ.get('DCMTK_EXAMPLES'), '/usr/share/doc/dcmtk/examples', ROOT / 'build/dcmtk-examples']
    for place in places:
        dumps = sorted(pathlib.Path(place, 'wlistdb/OFFIS').glob('*.dump*')) if place else []
        if dumps:
            return {
                dump.name.split('.')[0]: gzip.decompress(dump.read_bytes()) if dump.suffix == '.gz' else dump.read_bytes()
                for dump in dumps
            }
    sys.exit("DCMTK's example worklist is not there: scripts/setup.sh unpacks it")


class DataSets:
    """COUNT generated data sets and the examples in a folder, each as .wire, .json and .xml."""

    def __init__(self, converter, folder, count):
        self.converter = converter
        self.folder = pathlib.Path(folder)
        self.run(converter, 'generate', self.folder, count)
        dumps = self.folder / 'examples'
        dumps.mkdir()
        for name, dump in examples().items():
            (dumps / f'{name}.dump').write_bytes(dump)
            self.run('dump2dcm', '-q', '-g', '-F', '+te', dumps / f'{name}.dump', dumps / f'{name}.wire')
        self.convert('wire', 'json', dumps)
        self.convert('wire', 'xml', dumps)
        for every in (self.folder, dumps):
            self.run(converter, 'check', every)
        self.all = sorted(self.folder.glob('*.wire')) + sorted(dumps.glob('*.wire'))

    def convert(self, form, to, folder):
        self.run(self.converter, form, to, folder)

    @staticmethod
    def run(*command):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            sys.exit(f'{command[0]} {command[1]}: {done.stdout}{done.stderr}')
        return done.stdout
