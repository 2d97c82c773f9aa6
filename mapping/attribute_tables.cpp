// Reads the CSV text of the attribute tables, once for each table on its first use. The text is
// ours and compiled in, so a table without faults is a matter of the tests, not of run time.
#include "mapping/attribute_tables.h"

#include <algorithm>
#include <string>
#include <vector>

#include "mapping/attributes/attribute_csv.h"

namespace mapping {
namespace {

using Record = std::vector<std::string>;

/// One field of RFC 4180, taken off the front of text; the separator behind it stays.
std::string take_field(std::string_view& text) {
  std::string field;
  if (!text.starts_with('"')) {
    const std::size_t end = std::min(text.find_first_of(",\r\n"), text.size());
    field = text.substr(0, end);
    text.remove_prefix(end);
    return field;
  }
  text.remove_prefix(1);
  while (!text.empty()) {
    if (text.starts_with("\"\"")) {
      text.remove_prefix(1);
    } else if (text.starts_with('"')) {
      text.remove_prefix(1);
      break;
    }
    field += text.front();
    text.remove_prefix(1);
  }
  return field;
}

std::vector<Record> read_csv(std::string_view text) {
  std::vector<Record> records;
  while (!text.empty()) {
    Record record{take_field(text)};
    while (text.starts_with(',')) {
      text.remove_prefix(1);
      record.push_back(take_field(text));
    }
    const std::size_t next = text.find_first_not_of("\r\n");
    text.remove_prefix(std::min(next, text.size()));
    records.push_back(std::move(record));
  }
  return records;
}

/// A table and the text its rows view. Constant after construction.
template <class Row>
class Table {
 public:
  /// make: a row from a record, whose first three columns are path, keyword, VR in all tables.
  Table(std::string_view csv, Row (*make)(const Record&, Vr)) : records_(read_csv(csv)) {
    for (std::size_t i = 1; i < records_.size(); ++i) {  // the first one holds the headings
      // "All other attributes of the module" (path *) names no attribute and has no VR.
      const auto vr = parse_vr(records_[i].at(2));
      if (vr) rows_.push_back(make(records_[i], *vr));
    }
  }
  std::span<const Row> rows() const { return rows_; }

 private:
  std::vector<Record> records_;
  std::vector<Row> rows_;
};

}  // namespace

std::span<const WorklistAttribute> worklist_attributes() {
  static const Table<WorklistAttribute> table(worklist_csv, [](const Record& r, Vr vr) {
    return WorklistAttribute{r.at(0), r.at(1), vr, r.at(3), r.at(4)};
  });
  return table.rows();
}

std::span<const MppsAttribute> mpps_attributes() {
  static const Table<MppsAttribute> table(mpps_csv, [](const Record& r, Vr vr) {
    return MppsAttribute{r.at(0), r.at(1), vr, r.at(3), r.at(4), r.at(5), r.at(6), r.at(7)};
  });
  return table.rows();
}

std::span<const MppsRetrieveAttribute> mpps_retrieve_attributes() {
  static const Table<MppsRetrieveAttribute> table(mpps_retrieve_csv, [](const Record& r, Vr vr) {
    return MppsRetrieveAttribute{r.at(0), r.at(1), vr, r.at(3), r.at(4)};
  });
  return table.rows();
}

}  // namespace mapping
