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
