// What is wanted of a benchmark's figures: printed beside what was measured.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace bench {

class Targets {
 public:
  void at_most(std::string what, double measured, double wanted) {
    rows_.push_back({std::move(what), measured, wanted, measured <= wanted});
  }
  void at_least(std::string what, double measured, double wanted) {
    rows_.push_back({std::move(what), measured, wanted, measured >= wanted});
  }
  /// Prints them; false if one was missed.
  bool met() const {
    bool all = true;
    fmt::print("\n| {:62} | {:>9} | {:>9} | {:6} |\n", "", "measured", "wanted", "");
    fmt::print("|{:-<64}|{:->10}:|{:->10}:|{:-<8}|\n", "", "", "", "");
    for (const Row& row : rows_) {
      fmt::print("| {:62} | {:9.4g} | {:9.4g} | {:6} |\n", row.what, row.measured, row.wanted,
                 row.met ? "" : "missed");
      all = all && row.met;
    }
    return all;
  }

 private:
  struct Row {
    std::string what;
    double measured, wanted;
    bool met;
  };
  std::vector<Row> rows_;
};

}  // namespace bench
