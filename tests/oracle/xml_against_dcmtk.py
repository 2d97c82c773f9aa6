"""Our Native DICOM Model against DCMTK: xml_against_dcmtk.py CONVERTER [COUNT].

For each data set: what we write holds what dcm2xml --native-format writes, and we read dcm2xml's to
what is on the wire. xml2dcm of DCMTK 3.6.7 does not read the Native DICOM Model; where a later one
does, it has to read ours to the same.
"""

import base64
import math
import re
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

sys.dont_write_bytecode = True
from agreement import DataSets, Ledger  # noqa: E402

ledger = Ledger('Native DICOM Model and DCMTK')

NAMESPACE = '{http://dicom.nema.org/PS3.19/models/NativeDICOM}'
SPACE = '{http://www.w3.org/XML/1998/namespace}space'
GROUPS = ('Alphabetic', 'Ideographic', 'Phonetic')
COMPONENTS = ('FamilyName', 'GivenName', 'MiddleName', 'NamePrefix', 'NameSuffix')
CHARACTER_SET = '00080005'
UNITS = {'OW': 2, 'OF': 4, 'OL': 4, 'OD': 8, 'OV': 8}


def local(element):
    if not element.tag.startswith(NAMESPACE):
        raise ValueError(f'{element.tag} is not of the namespace')
    return element.tag[len(NAMESPACE):]


def read_document(text):
    root = xml.fromstring(text)
    if local(root) != 'NativeDicomModel' or root.get(SPACE) != 'preserve':
        raise ValueError('the root is not <NativeDicomModel xml:space="preserve">')
    return read_data_set(root)


def read_data_set(parent):
    """{tag: (vr, keyword, values)}, private tags and creators as they would stand on the wire (E3)."""
    found, blocks = {}, {}
    for attribute in parent:
        if local(attribute) != 'DicomAttribute':
            raise ValueError(f'{local(attribute)} in a data set')
        tag, creator = attribute.get('tag'), attribute.get('privateCreator')
        if creator is not None:
            block = blocks.setdefault((tag[:4], creator), 0x10 + sum(group == tag[:4] for group, _ in blocks))
            found[f'{tag[:4]}{block:04X}'] = ('LO', None, [creator])
            tag = f'{tag[:4]}{block:02X}{tag[6:]}'
        if tag in found:
            raise ValueError(f'{tag} twice')
        found[tag] = (attribute.get('vr'), attribute.get('keyword'), read_values(attribute))
    return found


def read_values(attribute):
    values = []
    for number, child in enumerate(attribute, 1):
        kind = local(child)
        if kind == 'InlineBinary':
            values.append(base64.b64decode(child.text or ''))
            continue
        if int(child.get('number')) != number:
            raise ValueError(f'{kind} {child.get("number")} at place {number}')
        if kind == 'Item':
            values.append(read_data_set(child))
        elif kind == 'PersonName':
            values.append({local(group): {local(part): part.text or '' for part in group} for group in child})
        elif kind == 'Value':
            values.append(child.text or '')
        else:
            raise ValueError(f'{kind} in an attribute')
    return values


def compare(ours, theirs, where):
    for tag in sorted(set(ours) | set(theirs)):
        place = f'{where} {tag}'
        if tag == CHARACTER_SET:
            compare_character_set(ours.get(tag), theirs.get(tag), place)
        elif tag not in ours or tag not in theirs:
            ledger.fail(place, f'is only {"ours" if tag in ours else "theirs"}')
        else:
            compare_attribute(ours[tag], theirs[tag], place)


def compare_character_set(ours, theirs, place):
    if ours not in (None, ('CS', 'SpecificCharacterSet', ['ISO_IR 192'])):
        ledger.fail(place, 'ours is neither absent nor ISO_IR 192')
    elif ours != theirs:
        ledger.known_difference('character-set', place)


def compare_attribute(ours, theirs, place):
    if ours[:2] != theirs[:2]:
        return ledger.fail(place, f'VR and keyword {ours[:2]}, theirs {theirs[:2]}')
    if len(ours[2]) != len(theirs[2]):
        return ledger.fail(place, f'{len(ours[2])} values, theirs {len(theirs[2])}')
    for index, (our, their) in enumerate(zip(ours[2], theirs[2])):
        if ours[0] == 'SQ':
            compare(our, their, f'{place}[{index}]')
        elif our != their:
            compare_value(ours[0], our, their, f'{place} value {index + 1}')
    return None


def compare_value(vr, ours, theirs, place):
    if vr == 'FL' and struct.pack('<f', float(ours)) == struct.pack('<f', float(theirs)):
        return ledger.known_difference('shortest-float', place)
    if vr == 'FD' and float(ours) == float(theirs):
        return ledger.known_difference('shortest-float', place)
    if vr == 'FD' and math.isclose(float(ours), float(theirs), rel_tol=1e-14):
        return ledger.known_difference('inexact-double', place)
    if vr in UNITS and swapped(ours, UNITS[vr]) == theirs:
        return ledger.known_difference('byte-order', place)
    if vr == 'PN' and all(theirs.get(group) == ours[group] for group in ours):
        return ledger.known_difference('left-over-group', place)
    return ledger.fail(place, f'{vr} {ours!r}, theirs {theirs!r}')


def swapped(value, unit):
    return b''.join(value[i:i + unit][::-1] for i in range(0, len(value), unit))


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, timeout=60)


def dcm2xml():
    """The command that docs/agreement.md names."""
    document = Path(__file__).resolve().parents[2] / 'docs' / 'agreement.md'
    return re.search('`(dcm2xml [^`]*)`', document.read_text(encoding='utf-8'))[1].split()


def main(converter, count):
    with tempfile.TemporaryDirectory() as folder:
        data_sets = DataSets(converter, folder, count)
        back = data_sets.folder / 'theirs'
        back.mkdir()
        of_them = {}
        for wire in data_sets.all:
            name = wire.stem
            ours = read_document(wire.with_suffix('.xml').read_text(encoding='utf-8'))
            check_xml2dcm(name, wire, back / 'xml2dcm.wire')
            done = run(*dcm2xml(), '-q', '-f', '-te', '+M', wire)
            if done.returncode != 0:
                fail_to_convert(name, wire)
                continue
            (back / f'{name}.xml').write_bytes(done.stdout)
            of_them[name] = read_document(done.stdout.decode())
            compare(ours, of_them[name], name)
            ledger.compared += 1
        data_sets.convert('xml', 'json', back)
        data_sets.convert('json', 'xml', back)
        for name, theirs in of_them.items():
            again = read_document((back / f'{name}.xml').read_text(encoding='utf-8'))
            compare(again, theirs, f'{name}, theirs read by us')
        ledger.close(at_least=(count + 10) * 9 // 10)


def fail_to_convert(name, wire):
    character_set = wire.read_bytes()[:64]
    if b'ISO 2022 IR 87' in character_set or b'ISO 2022 IR 58' in character_set:
        ledger.known_difference('code-extensions', name)
    else:
        ledger.fail(name, 'dcm2xml does not convert it')


def check_xml2dcm(name, wire, target):
    done = run('xml2dcm', '-F', '+te', wire.with_suffix('.xml'), target)
    if b"was 'NativeDicomModel', 'data-set' expected" in done.stderr:
        ledger.known_difference('no-native-reader', name)
    elif target.read_bytes() != wire.read_bytes():
        ledger.fail(name, 'xml2dcm reads ours to another data set')


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 250)
