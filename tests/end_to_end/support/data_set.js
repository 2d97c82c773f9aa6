// Writes and reads data sets as bytes, so that tests can say exactly what stands on the wire:
// little endian, implicit or explicit, any single-byte or UTF-8 text. Knows no dictionary.
export const implicitLittleEndian = '1.2.840.10008.1.2';
export const explicitLittleEndian = '1.2.840.10008.1.2.1';

const longForm = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SQ', 'UC', 'UN', 'UR', 'UT']);

/// elements: [[0x00100010, 'PN', 'MÜLLER^JÖRG'], [0x00400270, 'SQ', [[...item], ...]]], in tag order.
/// Values are text, numbers for US and UL, or bytes. encoding: 'latin1' or 'utf8'.
export function encode(elements, transferSyntax = explicitLittleEndian, encoding = 'latin1') {
  return Buffer.concat(
    elements.map(([tag, vr, value]) => {
      const bytes = vr === 'SQ' ? items(value, transferSyntax, encoding) : field(vr, value, encoding);
      const header = Buffer.alloc(8);
      header.writeUInt16LE(tag >>> 16, 0);
      header.writeUInt16LE(tag & 0xffff, 2);
      if (transferSyntax === implicitLittleEndian) {
        header.writeUInt32LE(bytes.length, 4);
        return Buffer.concat([header, bytes]);
      }
      header.write(vr, 4, 'latin1');
      if (!longForm.has(vr)) {
        header.writeUInt16LE(bytes.length, 6);
        return Buffer.concat([header, bytes]);
      }
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return Buffer.concat([header, length, bytes]);
    }),
  );
}

function items(list, transferSyntax, encoding) {
  return Buffer.concat(
    list.map((elements) => {
      const bytes = encode(elements, transferSyntax, encoding);
      const header = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
      header.writeUInt32LE(bytes.length, 4);
      return Buffer.concat([header, bytes]);
    }),
  );
}

function field(vr, value, encoding) {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(vr === 'US' ? 2 : 4);
    if (vr === 'US') bytes.writeUInt16LE(value);
    else bytes.writeUInt32LE(value);
    return bytes;
  }
  const bytes = Buffer.from(value ?? '', encoding);
  return bytes.length % 2 ? Buffer.concat([bytes, Buffer.from(vr === 'UI' ? '\0' : ' ')]) : bytes;
}

/// Reads explicit little endian into { "00100010": { vr, value } }; sequences as lists of such.
export function decode(bytes, encoding = 'latin1') {
  return dataSetAt({ bytes, at: 0, encoding }, bytes.length);
}

/// Reads explicit little endian whose text is in what its own (0008,0005) says.
export function decodeText(bytes) {
  const characterSet = decode(bytes)['00080005']?.value ?? '';
  if (!['', 'ISO_IR 100', 'ISO_IR 192'].includes(characterSet)) throw new Error(`text in ${characterSet}`);
  return decode(bytes, characterSet === 'ISO_IR 192' ? 'utf8' : 'latin1');
}

// end: where the data set ends; undefined up to the item delimitation.
function dataSetAt(reader, end) {
  const { bytes } = reader;
  const dataSet = {};
  while (end === undefined || reader.at < end) {
    const tag = tagText(bytes, reader.at);
    if (tag === 'FFFEE00D') {
      reader.at += 8;
      break;
    }
    const vr = bytes.toString('latin1', reader.at + 4, reader.at + 6);
    const long = longForm.has(vr);
    const length = long ? bytes.readUInt32LE(reader.at + 8) : bytes.readUInt16LE(reader.at + 6);
    reader.at += long ? 12 : 8;
    if (vr === 'SQ') {
      dataSet[tag] = { vr, value: itemsAt(reader, length === 0xffffffff ? undefined : reader.at + length) };
    } else {
      const value = bytes.subarray(reader.at, reader.at + length);
      dataSet[tag] = { vr, value: value.toString(reader.encoding).replace(/[ \0]+$/, '') || undefined };
      reader.at += length;
    }
  }
  return dataSet;
}

function itemsAt(reader, end) {
  const list = [];
  while (end === undefined || reader.at < end) {
    const tag = tagText(reader.bytes, reader.at);
    const length = reader.bytes.readUInt32LE(reader.at + 4);
    reader.at += 8;
    if (tag === 'FFFEE0DD') break;
    list.push(dataSetAt(reader, length === 0xffffffff ? undefined : reader.at + length));
  }
  return list;
}

/// The tag at an offset, as eight hexadecimal digits.
export function tagText(bytes, at) {
  const hex = (offset) => bytes.readUInt16LE(offset).toString(16).toUpperCase().padStart(4, '0');
  return hex(at) + hex(at + 2);
}
