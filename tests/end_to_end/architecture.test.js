// The architecture check can fail: each rule of scripts/check_architecture.sh finds its fault in a small
// tree made for it, and says nothing about a tree that keeps the rules.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { House } from './support/house.js';

const house = new House();
after(() => house.close());

const script = new URL('../../scripts/check_architecture.sh', import.meta.url).pathname;

const good = {
  'mapping/data_set.h': '// A data set.\n#pragma once\n#include <string>\n',
  'mapping/json_writer.cpp': '#include "mapping/data_set.h"\n#include <rapidjson/writer.h>\n',
  'mapping/json_writer.h': '// Writes JSON.\n#pragma once\n',
  'mapping/dictionary.cpp': '// The dictionary.\n#include <dcmtk/dcmdata/dcdict.h>\n',
  'dimse/scp.h': '// The SCP.\n#pragma once\n#include "mapping/data_set.h"\n',
  'tests/dimse/scp_test.cpp': '#include "dimse/scp.h"\n#include <catch2/catch.hpp>\n',
  'dimse/scp.cpp': '#include "dimse/scp.h"\n#include <dcmtk/dcmnet/assoc.h>\n',
  'web/server.cpp': '// The server.\n#include <httplib.h>\n#include "mapping/data_set.h"\n',
  'gateway/main.cpp': '// The program.\n#include <INIReader.h>\n#include "dimse/scp.h"\n#include "web/server.h"\n',
  'scripts/x.sh': '#!/bin/sh\n# Does something.\n',
  'README.md': 'ask /workitems, read ../shared/work/a.md, see http://host/root.html\n',
};

async function check(files) {
  const tree = house.newPath();
  for (const [file, text] of Object.entries({ ...good, ...files })) {
    fs.mkdirSync(path.join(tree, path.dirname(file)), { recursive: true });
    fs.writeFileSync(path.join(tree, file), text);
  }
  return house.run('bash', [script, tree]);
}

test('a tree that keeps the rules passes', async () => {
  const { code, stdout, stderr } = await check({});
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /11 files keep the architecture/);
});

test('a tree without files does not pass', async () => {
  const tree = house.newPath();
  fs.mkdirSync(tree);
  assert.equal((await house.run('bash', [script, tree])).code, 1);
});

describe('each fault is found, with file and line', () => {
  const comment = '// A file.\n';
  const slash = '/';
  const table = [
    ['dimse sees web', 'dimse/a.cpp', '#include "web/server.h"'],
    ['web sees dimse', 'web/a.h', '#include "dimse/scp.h"'],
    ['dimse sees gateway', 'dimse/a.h', '#include "gateway/log.h"'],
    ['web sees gateway', 'web/a.cpp', '#  include <gateway/log.h>'],
    ['mapping sees dimse', 'mapping/a.cpp', '#include "dimse/scp.h"'],
    ['mapping sees web', 'mapping/a.h', '#include "web/server.h"'],
    ['mapping sees gateway', 'mapping/a.h', '#include "gateway/log.h"'],
    ['a source sees tests', 'gateway/a.cpp', '#include "tests/support/x.h"'],
    ['a header without its folder', 'dimse/a.cpp', '#include "scp.h"'],
    ['RapidJSON outside JSON', 'mapping/query.cpp', '#include <rapidjson/document.h>'],
    ['RapidJSON in a header', 'mapping/json.h', '#include <rapidjson/document.h>'],
    ['RapidJSON in web', 'web/a.cpp', '#include <rapidjson/document.h>'],
    ['tinyxml2 outside XML', 'mapping/json_reader.cpp', '#include <tinyxml2.h>'],
    ['iconv in web', 'web/a.cpp', '#include <iconv.h>'],
    ['DCMTK in another file of mapping', 'mapping/wire.cpp', '#include <dcmtk/dcmdata/dctk.h>'],
    ['the network in the dictionary', 'mapping/dictionary.cpp', '#include <dcmtk/dcmnet/assoc.h>'],
    ['DCMTK in a header of dimse', 'dimse/a.h', '#include <dcmtk/dcmnet/assoc.h>'],
    ['DCMTK in web', 'web/a.cpp', '#include <dcmtk/dcmdata/dctk.h>'],
    ['DCMTK in gateway', 'gateway/a.cpp', '#include <dcmtk/oflog/oflog.h>'],
    ['httplib in a header of web', 'web/a.h', '#include <httplib.h>'],
    ['httplib in gateway', 'gateway/a.cpp', '#include <httplib.h>'],
    ['OpenSSL in dimse', 'dimse/a.cpp', '#include <openssl/ssl.h>'],
    ['spdlog in mapping', 'mapping/a.cpp', '#include <spdlog/spdlog.h>'],
    ['SQLite in web', 'web/a.cpp', '#include <sqlite3.h>'],
    ['Catch2 in a source', 'web/a.cpp', '#include <catch2/catch.hpp>'],
    ['a directory of one machine in a script', 'scripts/a.sh', `cd ${slash}work/main`],
    ['a home directory in a document', 'docs/a.md', `see ${slash}home/somebody/notes`],
    ['the directory of root', 'tests/a_test.cpp', `const char* file = "${slash}root";`],
  ];
  for (const [name, file, line] of table) {
    test(name, async () => {
      const { code, stdout } = await check({ [file]: `${file.endsWith('.sh') ? '# A file.\n' : comment}${line}\n` });
      assert.equal(code, 1, stdout);
      assert.deepEqual(stdout.trim().split('\n').length, 1, stdout);
      assert.match(stdout, new RegExp(`^${file.replaceAll('.', '\\.')}:2: `));
    });
  }

  for (const [file, text] of [
    ['web/a.h', '#pragma once\n'], ['tests/web/a_test.cpp', '#include "web/a.h"\n'], ['scripts/a.sh', '#!/bin/sh\nset -e\n'],
    ['tests/end_to_end/a.test.js', "import x from 'x';\n"],
  ]) {
    test(`${file} without a header comment`, async () => {
      const { code, stdout } = await check({ [file]: text });
      assert.equal(code, 1, stdout);
      assert.match(stdout, new RegExp(`^${file.replaceAll('.', '\\.')}:[12]: no header comment`));
    });
  }
});
