#include "gateway/backend.h"

#include <utility>
#include <variant>

namespace gateway {

mapping::Result<std::unique_ptr<Backend>> Backend::make(const std::string& name,
                                                        const BackendConfig& config,
                                                        const std::shared_ptr<StepStore>& store,
                                                        const mapping::Log& log,
                                                        AuditTrail& audit) {
  auto backend = std::make_unique<Backend>();
  backend->config = config;
  const auto own = [&backend](auto service) {
    backend->worklist = service.get();
    backend->mpps = service.get();
    backend->owner = std::move(service);
  };
  if (const auto* scu = std::get_if<dimse::ScuOptions>(&config.options)) {
    auto made = std::make_shared<dimse::Scu>(*scu, log);
    if (!made->fault().empty()) {
      return mapping::Fault{.what = "[backend " + name + "] " + made->fault()};
    }
    backend->probe = [&scu = *made](const auto& context) { return scu.probe(context).outcome; };
    backend->count = [&scu = *made](BackendNumbers& numbers) {
      numbers.associations = scu.pool();
      numbers.replaced_characters = scu.replaced_characters();
    };
    own(std::move(made));
  } else if (std::holds_alternative<StepStoreOptions>(config.options)) {
    own(store);
  } else {
    auto made = web::UserAgent::make(std::get<web::UserAgentOptions>(config.options), log);
    if (!made) {
      mapping::Fault fault = made.fault();
      fault.what = "[backend " + name + "] " + fault.what;
      return fault;
    }
    backend->probe = [&agent = *made.value()](const auto& context) { return agent.probe(context); };
    backend->count = [&agent = *made.value()](BackendNumbers& numbers) {
      numbers.connections = agent.pool();
    };
    own(std::shared_ptr<web::UserAgent>(std::move(made).value()));
  }
  if (backend->probe) {  // what is part of this program is no participant
    const AuditPlace place = audit_place(config);
    backend->audited_worklist = std::make_unique<AuditedWorklist>(*backend->worklist, place, audit);
    backend->audited_mpps = std::make_unique<AuditedMpps>(*backend->mpps, place, audit);
    backend->worklist = backend->audited_worklist.get();
    backend->mpps = backend->audited_mpps.get();
  }
  if (config.verify_matches || !config.combined_date_time) {
    const VerifiedWorklist::Options verify{.combined_date_time = config.combined_date_time,
                                           .note_dropped = config.verify_matches};
    backend->verified = std::make_unique<VerifiedWorklist>(*backend->worklist, name, verify, log);
    backend->worklist = backend->verified.get();
  }
  return backend;
}

}  // namespace gateway
