// Tags that the code speaks of by name, under their PS3.6 keywords. Held against DCMTK's
// dictionary by a test.
#pragma once

#include "mapping/tag.h"

namespace mapping::tags {

// Command set. PS3.7, Annex E.
inline constexpr Tag CommandGroupLength{0x0000, 0x0000};
inline constexpr Tag AffectedSOPClassUID{0x0000, 0x0002};
inline constexpr Tag RequestedSOPClassUID{0x0000, 0x0003};
inline constexpr Tag CommandField{0x0000, 0x0100};
inline constexpr Tag MessageID{0x0000, 0x0110};
inline constexpr Tag MessageIDBeingRespondedTo{0x0000, 0x0120};
inline constexpr Tag Priority{0x0000, 0x0700};
inline constexpr Tag CommandDataSetType{0x0000, 0x0800};
inline constexpr Tag Status{0x0000, 0x0900};
inline constexpr Tag OffendingElement{0x0000, 0x0901};
inline constexpr Tag ErrorComment{0x0000, 0x0902};
inline constexpr Tag ErrorID{0x0000, 0x0903};
inline constexpr Tag AffectedSOPInstanceUID{0x0000, 0x1000};
inline constexpr Tag RequestedSOPInstanceUID{0x0000, 0x1001};
inline constexpr Tag AttributeIdentifierList{0x0000, 0x1005};

inline constexpr Tag SpecificCharacterSet{0x0008, 0x0005};
inline constexpr Tag SOPClassUID{0x0008, 0x0016};
inline constexpr Tag SOPInstanceUID{0x0008, 0x0018};
inline constexpr Tag AccessionNumber{0x0008, 0x0050};
inline constexpr Tag Modality{0x0008, 0x0060};
inline constexpr Tag TimezoneOffsetFromUTC{0x0008, 0x0201};
inline constexpr Tag PatientName{0x0010, 0x0010};
inline constexpr Tag PatientID{0x0010, 0x0020};
inline constexpr Tag StudyInstanceUID{0x0020, 0x000D};
inline constexpr Tag ScheduledStationAETitle{0x0040, 0x0001};
inline constexpr Tag ScheduledProcedureStepStartDate{0x0040, 0x0002};
inline constexpr Tag ScheduledProcedureStepStartTime{0x0040, 0x0003};
inline constexpr Tag ScheduledProcedureStepDescription{0x0040, 0x0007};
inline constexpr Tag ScheduledProcedureStepID{0x0040, 0x0009};
inline constexpr Tag ScheduledProcedureStepSequence{0x0040, 0x0100};
inline constexpr Tag PerformedProcedureStepStartDate{0x0040, 0x0244};
inline constexpr Tag PerformedProcedureStepStartTime{0x0040, 0x0245};
inline constexpr Tag PerformedProcedureStepEndDate{0x0040, 0x0250};
inline constexpr Tag PerformedProcedureStepEndTime{0x0040, 0x0251};
inline constexpr Tag PerformedProcedureStepStatus{0x0040, 0x0252};
inline constexpr Tag PerformedProcedureStepID{0x0040, 0x0253};
inline constexpr Tag ScheduledStepAttributesSequence{0x0040, 0x0270};
inline constexpr Tag PerformedSeriesSequence{0x0040, 0x0340};

}  // namespace mapping::tags
