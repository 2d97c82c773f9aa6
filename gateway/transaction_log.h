// Decorators that record each transaction, as one log line and in the metrics: who asked, which
// backend answered, with which status, how long it took. Never what was asked or found.
#pragma once

#include <string>

#include "gateway/metrics.h"
#include "mapping/log.h"
#include "mapping/services.h"

namespace gateway {

class LoggedWorklist : public mapping::WorklistService {
 public:
  /// inner and metrics outlive this. backend: its name in the configuration.
  LoggedWorklist(mapping::WorklistService& inner, const std::string& backend, Metrics& metrics,
                 mapping::Log log);
  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override;

 private:
  mapping::WorklistService& inner_;
  const std::string backend_;
  const RouteSeries search_;
  RecentTransactions& recent_;
  const mapping::Log log_;
};

class LoggedMpps : public mapping::MppsService {
 public:
  LoggedMpps(mapping::MppsService& inner, const std::string& backend, Metrics& metrics,
             mapping::Log log);
  mapping::Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                          const mapping::Context& context) override;
  mapping::Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                          const mapping::Context& context) override;
  mapping::Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                            mapping::DataSet& found, const mapping::Context& context) override;
  bool offers_retrieve() const override { return inner_.offers_retrieve(); }

 private:
  mapping::MppsService& inner_;
  const std::string backend_;
  const RouteSeries create_, update_, retrieve_;
  RecentTransactions& recent_;
  const mapping::Log log_;
};

}  // namespace gateway
