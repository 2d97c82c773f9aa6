// BACKEND: this gateway as a user agent. Answers the two services by GET and POST on the base URI
// of an origin server. PS3.18, chapters 14 and 15 (Supplement 246).
// Which DIMSE status an HTTP status is stands in mapping/status; here are the careful cases around
// it: pages, redirects, stale connections, answers that never came.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mapping/log.h"
#include "mapping/pool_state.h"
#include "mapping/result.h"
#include "mapping/services.h"
#include "web/credentials.h"
#include "web/tls.h"

namespace web {

/// Where an Update is posted to. Supplement 246 says both (rule J1).
enum class UpdateUri : std::uint8_t {
  query,  ///< …/{uid}?update, as 15.5.1
  path,   ///< …/{uid}/update, as B.38
  /// The first, and where that is answered 404 or 405, the second; which of them did is
  /// remembered, and asked first.
  query_then_path,
};

struct UserAgentOptions {
  std::string base_uri;  ///< http[s]://host[:port][/path]
  TlsFiles tls;          ///< for https
  CredentialsOptions credentials;
  /// Servers that a redirect may lead to beside that of base_uri, without a path.
  std::vector<std::string> redirect_origins;
  std::size_t max_connections = 8;                   ///< further callers wait for a free one
  std::chrono::milliseconds connect_timeout{5'000};  ///< DNS aside
  /// Longest silence of the server; the whole call is bounded by its deadline.
  std::chrono::milliseconds response_timeout{30'000};
  std::uint64_t page_size = 1000;  ///< matches asked for at a time
  UpdateUri update_uri = UpdateUri::query;
  bool xml = false;  ///< media_type: bodies and answers in XML instead of JSON
  std::size_t max_response_bytes = 64u << 20;  ///< of one answer's body, decompressed
  bool operator==(const UserAgentOptions&) const = default;
};

/// Safe from any thread; every call takes a connection of its own from the pool.
class UserAgent : public mapping::WorklistService, public mapping::MppsService {
 public:
  /// Whether make would succeed, TLS files aside. Fault: "key: what is wrong", the key as in the
  /// configuration.
  static mapping::Result<bool> check(const UserAgentOptions& options);
  /// Opens no connection yet.
  static mapping::Result<std::unique_ptr<UserAgent>> make(UserAgentOptions options,
                                                          mapping::Log log);
  ~UserAgent() override;
  UserAgent(const UserAgent&) = delete;
  UserAgent& operator=(const UserAgent&) = delete;

  /// GET modality-scheduled-procedure-steps, page after page until the server has no more.
  /// Matches of a page in JSON are handed on while it comes, those of one in XML when it is there
  /// as a whole. What breaks after the first match is C005.
  mapping::Outcome search(const mapping::Search& search, const mapping::OnMatch& on_match,
                          const mapping::Context& context) override;
  /// POST modality-performed-procedure-steps/{uid}. An answer that did not come is settled by a
  /// Retrieve before the Create is repeated, once. mapping.md, 2b.
  mapping::Outcome create(const mapping::Uid& mpps, const mapping::DataSet& attributes,
                          const mapping::Context& context) override;
  /// POST to update_uri. Settled likewise. mapping.md, 3b.
  mapping::Outcome update(const mapping::Uid& mpps, const mapping::DataSet& modifications,
                          const mapping::Context& context) override;
  /// GET …/{uid}?includefield=…. 0x0001 if an attribute that was asked for is not in the answer.
  mapping::Outcome retrieve(const mapping::Uid& mpps, const mapping::AttributeList& attributes,
                            mapping::DataSet& found, const mapping::Context& context) override;

  /// Asks by OPTIONS. answered: there is a server, whatever it thinks of OPTIONS; not one is an
  /// answer that is a gateway's word for an absent one (502, 503, 504). error_comment says why not.
  mapping::Outcome probe(const mapping::Context& context);

  /// Of its connections to the server of base_uri.
  mapping::PoolState pool() const;

 private:
  class Impl;
  explicit UserAgent(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace web
