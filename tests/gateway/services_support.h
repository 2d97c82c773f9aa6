// What stands behind a decorator under test.
#pragma once

#include <vector>

#include "mapping/services.h"

namespace services_test {

/// Both services; everything ends as it is told to.
struct Answering : mapping::WorklistService, mapping::MppsService {
  mapping::Outcome outcome;
  std::vector<mapping::DataSet> matches;  ///< of every search
  mapping::DataSet step;                  ///< of a Retrieve that is good
  bool retrieves = true;
  int changes = 0;  ///< that it was asked for

  mapping::Outcome search(const mapping::Search&, const mapping::OnMatch& on_match,
                          const mapping::Context&) override {
    for (const auto& match : matches) on_match({match, true});
    return outcome;
  }
  mapping::Outcome create(const mapping::Uid&, const mapping::DataSet&,
                          const mapping::Context&) override {
    ++changes;
    return outcome;
  }
  mapping::Outcome update(const mapping::Uid&, const mapping::DataSet&,
                          const mapping::Context&) override {
    ++changes;
    return outcome;
  }
  mapping::Outcome retrieve(const mapping::Uid&, const mapping::AttributeList&,
                            mapping::DataSet& found, const mapping::Context&) override {
    if (outcome.good()) found = step;
    return outcome;
  }
  bool offers_retrieve() const override { return retrieves; }
};

}  // namespace services_test
