// Decorators that record each transaction in the audit trail: those in front of a route what was
// received, those before a backend what was issued to it. PS3.15, A.5.3.10 and A.5.3.15; rules I3,
// I4. They change nothing.
#pragma once

#include <optional>
#include <string>

#include "gateway/audit_trail.h"
#include "gateway/config.h"
#include "mapping/services.h"

namespace gateway {

/// Between whom the transactions go.
struct AuditPlace {
  /// The backend; nothing: in front, where the caller asks this gateway.
  std::optional<AuditParticipant> backend;
  std::string ae_title;  ///< of this gateway there; empty = none
  /// Target resource of a Search by DICOMweb; nothing: asked by C-FIND. In front, the caller's
  /// protocol decides.
  std::optional<std::string> resource;
};

/// Before a backend that is another program.
AuditPlace audit_place(const BackendConfig& backend);
/// Where the fronts stand.
AuditPlace audit_place(const Config& config);

class AuditedWorklist : public mapping::WorklistService {
 public:
  /// inner and trail outlive this.
  AuditedWorklist(mapping::WorklistService& inner, AuditPlace place, AuditTrail& trail)
      : inner_(inner), place_(std::move(place)), trail_(trail) {}
  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override;

 private:
  mapping::WorklistService& inner_;
  const AuditPlace place_;
  AuditTrail& trail_;
};

class AuditedMpps : public mapping::MppsService {
 public:
  AuditedMpps(mapping::MppsService& inner, AuditPlace place, AuditTrail& trail)
      : inner_(inner), place_(std::move(place)), trail_(trail) {}
  mapping::Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                          const mapping::Context& context) override;
  mapping::Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                          const mapping::Context& context) override;
  mapping::Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                            mapping::DataSet& found, const mapping::Context& context) override;
  bool offers_retrieve() const override { return inner_.offers_retrieve(); }

 private:
  void record(mapping::Transaction transaction, const mapping::Uid& mpps,
              mapping::DataSetView attributes, const mapping::Outcome& outcome,
              const mapping::Context& context, AuditTime begun) const;

  mapping::MppsService& inner_;
  const AuditPlace place_;
  AuditTrail& trail_;
};

}  // namespace gateway
