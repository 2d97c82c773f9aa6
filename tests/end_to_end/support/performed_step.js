// A performed procedure step as a modality tells it, with everything that Table F.7.2-1 of PS3.4 wants.

// What a CT says when it begins (F.7.2-1), sequences with two items, values that are empty.
export const begun = () => ({
  SpecificCharacterSet: 'ISO_IR 192',
  Modality: 'CT',
  ProcedureCodeSequence: [{ CodeValue: 'CTTHX', CodingSchemeDesignator: '99TEST', CodeMeaning: 'Thorax' }],
  ReferencedPatientSequence: [],
  PatientName: [{ Alphabetic: 'Schröder^Zoë', Ideographic: '', Phonetic: '' }],
  PatientID: 'PID-4711',
  PatientBirthDate: '19700102',
  PatientSex: 'F',
  StudyID: 'S1',
  PerformedStationAETitle: 'CT1',
  PerformedStationName: '',
  PerformedLocation: '',
  PerformedProcedureStepStartDate: '20261120',
  PerformedProcedureStepStartTime: '081500',
  PerformedProcedureStepEndDate: '',
  PerformedProcedureStepEndTime: '',
  PerformedProcedureStepStatus: 'IN PROGRESS',
  PerformedProcedureStepID: 'PPS1',
  PerformedProcedureStepDescription: 'Thorax nativ – Überprüfung',
  PerformedProcedureTypeDescription: '',
  PerformedProtocolCodeSequence: [],
  ScheduledStepAttributesSequence: [1, 2].map((number) => ({
    AccessionNumber: `ACC${number}`,
    ReferencedStudySequence: [
      { ReferencedSOPClassUID: '1.2.840.10008.3.1.2.3.1', ReferencedSOPInstanceUID: `1.2.3.4.5.${number}` },
    ],
    StudyInstanceUID: `1.2.3.4.6.${number}`,
    RequestedProcedureDescription: 'Thorax',
    ScheduledProcedureStepDescription: '',
    ScheduledProtocolCodeSequence: [
      { CodeValue: 'A', CodingSchemeDesignator: '99TEST', CodeMeaning: 'first' },
      { CodeValue: 'B', CodingSchemeDesignator: '99TEST', CodeMeaning: 'second' },
    ],
    ScheduledProcedureStepID: `SPS${number}`,
    RequestedProcedureID: `RP${number}`,
  })),
  PerformedSeriesSequence: [],
});

// … and when it is done: two series, one with two images, one with none. What stands in sequences is
// ASCII: dcmjs reads UTF-8 there as Latin-1. Names in sequences have a test of their own in mpps.test.js.
export const done = () => ({
  SpecificCharacterSet: 'ISO_IR 192',
  PerformedProcedureStepEndDate: '20261120',
  PerformedProcedureStepEndTime: '082000',
  PerformedProcedureStepStatus: 'COMPLETED',
  PerformedSeriesSequence: [
    {
      RetrieveAETitle: 'PACS',
      SeriesDescription: 'Overview',
      PerformingPhysicianName: [{ Alphabetic: 'White^George' }],
      OperatorsName: [{ Alphabetic: 'Miller^Ann' }, { Alphabetic: 'Smith^John' }],
      ReferencedImageSequence: [1, 2].map((number) => ({
        ReferencedSOPClassUID: '1.2.840.10008.5.1.4.1.1.2', ReferencedSOPInstanceUID: `1.2.3.4.7.${number}`,
      })),
      ProtocolName: 'Topogram',
      SeriesInstanceUID: '1.2.3.4.8.1',
      ReferencedNonImageCompositeSOPInstanceSequence: [],
    },
    {
      RetrieveAETitle: '',
      SeriesDescription: '',
      PerformingPhysicianName: '',
      OperatorsName: '',
      ReferencedImageSequence: [],
      ProtocolName: 'Thorax',
      SeriesInstanceUID: '1.2.3.4.8.2',
      ReferencedNonImageCompositeSOPInstanceSequence: [],
    },
  ],
});

const element = (vr, ...Value) => ({ vr, Value });
// The same in the DICOM JSON Model, with as little as Table F.7.2-1 lets pass.
export const begunInJson = () => [{
  '00080005': element('CS', 'ISO_IR 192'),
  '00080060': element('CS', 'CT'),
  '00081032': { vr: 'SQ' },
  '00081120': { vr: 'SQ' },
  '00100010': element('PN', { Alphabetic: 'Schröder^Zoë' }),
  '00100020': element('LO', 'PID-4711'),
  '00100030': element('DA', '19700102'),
  '00100040': element('CS', 'F'),
  '00200010': element('SH', 'S1'),
  '00400241': element('AE', 'WEB1'),
  '00400242': { vr: 'SH' },
  '00400243': { vr: 'SH' },
  '00400244': element('DA', '20261120'),
  '00400245': element('TM', '081500'),
  '00400250': { vr: 'DA' },
  '00400251': { vr: 'TM' },
  '00400252': element('CS', 'IN PROGRESS'),
  '00400253': element('SH', 'PPS1'),
  '00400254': { vr: 'LO' },
  '00400255': { vr: 'LO' },
  '00400260': { vr: 'SQ' },
  '00400270': element('SQ', {
    '00080050': element('SH', 'ACC1'),
    '00081110': { vr: 'SQ' },
    '0020000D': element('UI', '1.2.3.4.6.1'),
    '00321060': { vr: 'LO' },
    '00400007': { vr: 'LO' },
    '00400008': { vr: 'SQ' },
    '00400009': element('SH', 'SPS1'),
    '00401001': element('SH', 'RP1'),
  }),
  '00400340': { vr: 'SQ' },
}];
export const changedInJson = (description) => [{ '00400254': element('LO', description) }];
export const doneInJson = (status = 'COMPLETED') => [{
  '00400250': element('DA', '20261120'),
  '00400251': element('TM', '082000'),
  '00400252': element('CS', status),
  '00400340': element('SQ', {
    '00080054': { vr: 'AE' },
    '0008103E': { vr: 'LO' },
    '00081050': { vr: 'PN' },
    '00081070': { vr: 'PN' },
    '00081140': { vr: 'SQ' },
    '00181030': element('LO', 'Thorax'),
    '0020000E': element('UI', '1.2.3.4.8.1'),
    '00400220': { vr: 'SQ' },
  }),
}];
