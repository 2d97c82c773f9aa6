// The two services with every data set written to a trace: what the caller sent, what it was
// answered.
#pragma once

#include "gateway/trace.h"
#include "mapping/services.h"

namespace gateway {

/// Lines are JSON objects: time, tx, front, caller, address, operation, mpps where there is one,
/// and what: "request" with the data set ("attributes", a list of tags, for Retrieve), "match" with
/// one, "answer" with status, how, comment, and the data set of a Retrieve. Data sets are in the
/// DICOM JSON Model; null where they have no form in it.
class TracedWorklist : public mapping::WorklistService {
 public:
  /// inner and trace outlive this.
  TracedWorklist(mapping::WorklistService& inner, Trace& trace) : inner_(inner), trace_(trace) {}
  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override;

 private:
  mapping::WorklistService& inner_;
  Trace& trace_;
};

class TracedMpps : public mapping::MppsService {
 public:
  TracedMpps(mapping::MppsService& inner, Trace& trace) : inner_(inner), trace_(trace) {}
  mapping::Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                          const mapping::Context& context) override;
  mapping::Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                          const mapping::Context& context) override;
  mapping::Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                            mapping::DataSet& found, const mapping::Context& context) override;
  bool offers_retrieve() const override { return inner_.offers_retrieve(); }

 private:
  mapping::MppsService& inner_;
  Trace& trace_;
};

}  // namespace gateway
