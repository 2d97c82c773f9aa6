"""Our DICOM JSON against pydicom: json_against_pydicom.py CONVERTER [COUNT].

For each data set: what we write is what pydicom writes, pydicom reads ours to what it reads from the
wire, and we read pydicom's to what we write.
"""

import io
import json
import struct
import sys
import tempfile
import warnings

import pydicom
from pydicom.filereader import read_dataset

sys.dont_write_bytecode = True
from agreement import DataSets, Ledger  # noqa: E402

warnings.simplefilter('ignore')  # about values that exceed their VR's length
ledger = Ledger('DICOM JSON and pydicom')

TEXT_OR_NUMBER = ('DS', 'IS', 'SV', 'UV')
CHARACTER_SET = '00080005'
ESCAPE = '\x1b$)A'


def compare(ours, theirs, where):
    for tag in sorted(set(ours) | set(theirs)):
        place = f'{where} {tag}'
        if tag == CHARACTER_SET:
            compare_character_set(ours.get(tag), theirs.get(tag), place)
        elif tag not in ours or tag not in theirs:
            ledger.fail(place, f'is only {"ours" if tag in ours else "theirs"}')
        elif ours[tag]['vr'] != theirs[tag]['vr']:
            ledger.fail(place, f'VR {ours[tag]["vr"]}, theirs {theirs[tag]["vr"]}')
        else:
            compare_attribute(ours[tag], theirs[tag], place)


def compare_character_set(ours, theirs, place):
    if ours not in (None, {'vr': 'CS', 'Value': ['ISO_IR 192']}):
        ledger.fail(place, 'ours is neither absent nor ISO_IR 192')
    elif ours != theirs:
        ledger.known_difference('character-set', place)


def compare_attribute(ours, theirs, place):
    if ours.get('InlineBinary') != theirs.get('InlineBinary'):
        ledger.fail(place, 'InlineBinary')
    if 'Value' not in ours and theirs.get('Value') == [] and ours['vr'] == 'SQ':
        return ledger.known_difference('empty-sequence', place)
    if ('Value' in ours) != ('Value' in theirs):
        return ledger.fail(place, f'Value is only {"ours" if "Value" in ours else "theirs"}')
    our_values, their_values = ours.get('Value', []), theirs.get('Value', [])
    if len(our_values) != len(their_values):
        return ledger.fail(place, f'{len(our_values)} values, theirs {len(their_values)}')
    for index, (our, their) in enumerate(zip(our_values, their_values)):
        if ours['vr'] == 'SQ':
            compare(our, their, f'{place}[{index}]')
        else:
            compare_value(ours['vr'], our, their, f'{place} value {index + 1}')


def compare_value(vr, ours, theirs, place):
    if vr == 'PN' and isinstance(theirs, dict) and '' in theirs.values():
        ledger.known_difference('empty-group', place)
        theirs = {group: text for group, text in theirs.items() if text} or None
    if ours == theirs and isinstance(ours, str) == isinstance(theirs, str):
        return None
    if ours is None and theirs == '':
        return ledger.known_difference('empty-value', place)
    if vr in TEXT_OR_NUMBER and isinstance(ours, str) and float(ours) == float(theirs):
        kept = abs(theirs) > 2**53 if vr in ('SV', 'UV') else ours != shortest(theirs)
        if not kept:
            return ledger.fail(place, f'{ours!r} could be a number')
        return ledger.known_difference('number-as-text', place)
    if vr == 'FL' and struct.pack('<f', ours) == struct.pack('<f', theirs):
        return ledger.known_difference('shortest-float', place)
    return ledger.fail(place, f'{vr} {ours!r}, theirs {theirs!r}')


def shortest(number):
    """The text that a number has after it was one: a string is written where this differs."""
    whole = number == int(number) and abs(number) < 1e16
    return str(int(number)) if whole else repr(number)


def without_escapes(theirs, place):
    """pydicom's JSON without the escape sequences that it leaves in text of ISO 2022 IR 58."""
    if isinstance(theirs, str) and ESCAPE in theirs:
        ledger.known_difference('escape-sequence', place)
        return theirs.replace(ESCAPE, '')
    if isinstance(theirs, list):
        return [without_escapes(one, place) for one in theirs]
    if isinstance(theirs, dict):
        return {name: without_escapes(one, place) for name, one in theirs.items()}
    return theirs


def plain(data_set):
    """What pydicom read, as comparable values."""
    return {
        f'{element.tag:08X}': (element.VR, plain_value(element))
        for element in data_set
        if f'{element.tag:08X}' != CHARACTER_SET
    }


def plain_value(element):
    if element.VR == 'SQ':
        return [plain(item) for item in element.value]
    value = element.value
    if value is None or value == '' or value == b'':
        return []
    values = list(value) if isinstance(value, (pydicom.multival.MultiValue, list)) else [value]
    if element.VR == 'PN':
        return [str(name).replace(ESCAPE, '').rstrip('=') for name in values]
    if element.VR in ('DS', 'FD', 'FL'):
        return [None if number in (None, '') else struct.pack('<f' if element.VR == 'FL' else '<d', number) for number in values]
    if element.VR == 'IS':
        return [None if number in (None, '') else int(number) for number in values]
    return ['' if one is None else one.replace(ESCAPE, '') if isinstance(one, str) else one for one in values]


def read_wire(path):
    data_set = read_dataset(io.BytesIO(path.read_bytes()), False, True)
    data_set.decode()
    return data_set


def main(converter, count):
    with tempfile.TemporaryDirectory() as folder:
        data_sets = DataSets(converter, folder, count)
        of_them = {}
        for wire in data_sets.all:
            name = wire.stem
            theirs = read_wire(wire)
            text = wire.with_suffix('.json').read_text(encoding='utf-8')
            their_json = without_escapes(theirs.to_json_dict(), name)
            compare(json.loads(text), their_json, name)

            read_by_them = plain(pydicom.Dataset.from_json(text))
            if read_by_them != plain(theirs):
                ledger.fail(name, f'pydicom reads ours to another data set: {first(read_by_them, plain(theirs))}')

            back = data_sets.folder / 'theirs'
            back.mkdir(exist_ok=True)
            of_them[name] = their_json
            (back / f'{name}.json').write_text(json.dumps(their_json), encoding='utf-8')
            ledger.compared += 1
        data_sets.convert('json', 'wire', back)
        data_sets.convert('wire', 'json', back)
        for name, their_json in of_them.items():
            again = json.loads((back / f'{name}.json').read_text(encoding='utf-8'))
            compare(again, their_json, f'{name}, theirs read by us')
        ledger.close(at_least=count + 10)


def first(ours, theirs):
    tag = next(tag for tag in sorted(set(ours) | set(theirs)) if ours.get(tag) != theirs.get(tag))
    return f'{tag} {ours.get(tag)}, theirs {theirs.get(tag)}'


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 250)
