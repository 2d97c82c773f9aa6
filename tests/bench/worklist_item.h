// A realistic worklist item, about fifty attributes and four sequences, as every benchmark uses it.
#pragma once

#include <string_view>

namespace bench {

/// DICOM JSON; text needs ISO_IR 100.
inline constexpr std::string_view worklist_item_json = R"json({
"00080050":{"vr":"SH","Value":["A20261120"]},
"00080080":{"vr":"LO","Value":["Städtisches Krankenhaus"]},
"00080090":{"vr":"PN","Value":[{"Alphabetic":"Weber^Ruth^^Dr."}]},
"00081110":{"vr":"SQ","Value":[{"00081150":{"vr":"UI","Value":["1.2.840.10008.3.1.2.3.1"]},
 "00081155":{"vr":"UI","Value":["1.2.276.0.7230010.3.2.101.4711"]}}]},
"00100010":{"vr":"PN","Value":[{"Alphabetic":"Müller^Jörg^^Dr."}]},
"00100020":{"vr":"LO","Value":["PID004711"]},
"00100021":{"vr":"LO","Value":["HOSPITAL"]},
"00100030":{"vr":"DA","Value":["19700131"]},
"00100040":{"vr":"CS","Value":["M"]},
"00101001":{"vr":"PN","Value":[{"Alphabetic":"Alias^One"},{"Alphabetic":"Alias^Two"}]},
"00101010":{"vr":"AS","Value":["056Y"]},
"00101020":{"vr":"DS","Value":[1.82]},
"00101030":{"vr":"DS","Value":[81.5]},
"00102000":{"vr":"LO","Value":["Pacemaker"]},
"00102110":{"vr":"LO","Value":["Iodine contrast"]},
"00102160":{"vr":"SH"},
"001021B0":{"vr":"LT","Value":["Follow-up after surgery; pain in the left knee for two months."]},
"001021C0":{"vr":"US","Value":[4]},
"00104000":{"vr":"LT","Value":["Needs a wheel chair"]},
"0020000D":{"vr":"UI","Value":["1.2.276.0.7230010.3.2.102.4711"]},
"00321032":{"vr":"PN","Value":[{"Alphabetic":"Roth^Rita"}]},
"00321033":{"vr":"LO","Value":["ORTHOPEDICS"]},
"00321060":{"vr":"LO","Value":["MR knee left without contrast"]},
"00321064":{"vr":"SQ","Value":[{"00080100":{"vr":"SH","Value":["MRKNEE"]},
 "00080102":{"vr":"SH","Value":["99LOCAL"]},"00080103":{"vr":"SH","Value":["1.0"]},
 "00080104":{"vr":"LO","Value":["MR knee"]}}]},
"00380010":{"vr":"LO","Value":["ADM0815"]},
"00380050":{"vr":"LO"},
"00380300":{"vr":"LO","Value":["WARD7 BED2"]},
"00380500":{"vr":"LO"},
"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["MR"]},"00321070":{"vr":"LO"},
 "00400001":{"vr":"AE","Value":["MRSCAN1"]},"00400002":{"vr":"DA","Value":["20261120"]},
 "00400003":{"vr":"TM","Value":["081500"]},"00400006":{"vr":"PN","Value":[{"Alphabetic":"Kunz^Paul"}]},
 "00400007":{"vr":"LO","Value":["Knee routine"]},
 "00400008":{"vr":"SQ","Value":[{"00080100":{"vr":"SH","Value":["KNEE1"]},
  "00080102":{"vr":"SH","Value":["99LOCAL"]},"00080104":{"vr":"LO","Value":["Knee routine protocol"]}}]},
 "00400009":{"vr":"SH","Value":["SPS004711"]},"00400010":{"vr":"SH","Value":["MR-1"]},
 "00400011":{"vr":"SH","Value":["Building A"]},"00400012":{"vr":"LO"},
 "00400020":{"vr":"CS","Value":["SCHEDULED"]}}]},
"00401001":{"vr":"SH","Value":["RP004711"]},
"00401003":{"vr":"SH","Value":["ROUTINE"]},
"00401004":{"vr":"LO"},
"00402001":{"vr":"LO"},
"00401400":{"vr":"LT"},
"00401002":{"vr":"LO","Value":["Suspected meniscus tear"]},
"00403001":{"vr":"LO"}})json";

}  // namespace bench
