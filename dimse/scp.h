// The DIMSE front: this gateway as an SCP of the Modality Worklist and of the Modality Performed
// Procedure Step. Turns commands that arrive into calls of the two services and their outcomes into
// responses. PS3.4, Annexes F and K; PS3.7. Knows no backend: the router names the services.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dimse/negotiation.h"
#include "dimse/tls.h"
#include "mapping/attribute_path.h"
#include "mapping/character_set.h"
#include "mapping/current.h"
#include "mapping/log.h"
#include "mapping/result.h"
#include "mapping/security_alert.h"
#include "mapping/services.h"

namespace dimse {

/// What differs for one calling AE title.
struct Modality {
  std::string ae_title;
  std::string host;  ///< numeric address or name it must come from; empty = any
  std::optional<mapping::CharacterSet> character_set;         ///< to answer in
  std::optional<mapping::CharacterSet> assume_character_set;  ///< of text that declares none
  /// Its own AE title becomes the Scheduled Station AE Title key where it sends none.
  bool station_filter = false;
  bool replace_unencodable = false;  ///< as ScuOptions::replace_unencodable
  /// Keys that it fills where it means "any": asked for, never matched.
  std::vector<mapping::AttributePath> return_keys_only{};
};

struct ScpOptions {
  std::string ae_title = "MODGATE";
  std::string bind = "0.0.0.0";  ///< numeric IPv4 or IPv6 address; "::" takes both
  std::uint16_t port = 11112;    ///< 0 = any free port
  bool any_called_ae_title = false;
  bool known_modalities_only = false;
  std::vector<Modality> modalities;
  std::size_t max_associations = 200;
  std::size_t max_associations_per_ae = 0;  ///< of one calling AE title; 0 = as many as there are
  std::chrono::milliseconds acse_timeout{30'000};   ///< until the whole A-ASSOCIATE-RQ is here
  std::chrono::milliseconds dimse_timeout{60'000};  ///< for a message that has begun, and to send
  std::chrono::milliseconds idle_timeout{300'000};  ///< without a request
  /// What a service may take for one transaction (Context::deadline).
  std::chrono::milliseconds transaction_timeout{60'000};
  std::uint32_t max_pdu_bytes = 131072;  ///< 4096 to 131072
  /// Agree to fuzzy matching of names where a modality proposes it: the backends must do it.
  bool fuzzy_matching = false;
  /// Whether a user identity may associate. Empty = whoever calls; otherwise no identity is refused
  /// too. Called from many threads.
  std::function<bool(const UserIdentity&)> admits;
  /// Told of callers that may not associate, and of TLS handshakes that failed.
  mapping::OnSecurityAlert on_alert;
  TlsOptions tls;                              ///< with a certificate this port speaks TLS
  std::size_t max_data_set_bytes = 16u << 20;  ///< of a request; more is answered by an abort
};

/// Serves until stopped. start, prepare with its change, and stop from one thread; everything else
/// happens on its own threads, which are all gone when stop returns.
class Scp {
 public:
  /// router: asked for every association, after its calling AE title is known, and for every
  /// request.
  Scp(ScpOptions options, mapping::Router router, mapping::Log log);
  ~Scp();  ///< stops without grace
  Scp(const Scp&) = delete;
  Scp& operator=(const Scp&) = delete;

  /// Listens and returns the port. Fault: the address cannot be bound, TLS files not be used.
  mapping::Result<std::uint16_t> start();

  /// Other options, for associations and requests that begin after the change; bind, port,
  /// max_associations and max_associations_per_ae stay. Who has associated is not judged again.
  /// Fault: TLS files cannot be used.
  mapping::Result<mapping::Change> prepare(ScpOptions options);

  /// Stops accepting, ends idle associations, lets operations that run end until the grace is
  /// over, then cuts their connections and waits for their services to return.
  void stop(std::chrono::milliseconds grace);

  /// Associations that are open now.
  std::size_t associations() const;
  /// Connections that were closed without an association: a rejection, a refused handshake, a
  /// request that is none.
  std::uint64_t refused() const;
  /// Characters that became question marks in responses (Modality::replace_unencodable).
  std::uint64_t replaced_characters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dimse
