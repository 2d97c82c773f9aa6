// What the tests of the SCU share.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "dimse/scu.h"
#include "loopback.h"

namespace loopback {

using mapping::NetworkEvent;
namespace command_field = dimse::command_field;

inline dimse::ScuOptions options_for(std::uint16_t port) {
  dimse::ScuOptions options;
  options.ae_title = "MODGATE";
  options.calling_ae_title = "GATE";
  options.host = "127.0.0.1";
  options.port = port;
  return options;
}

inline Context context(std::chrono::milliseconds limit = 20s) {
  Context context;
  context.transaction = "t1";
  context.deadline = std::chrono::steady_clock::now() + limit;
  return context;
}

inline mapping::Search search_for(const DataSet& identifier) {
  mapping::Search search;
  search.identifier = identifier;
  return search;
}

inline Uid uid(std::string_view text) { return Uid::parse(text).value(); }

/// Searches and collects accession numbers.
inline Outcome search(dimse::Scu& scu, std::vector<std::string>& found,
                      const Context& with = context()) {
  return scu.search(
      search_for(identifier()),
      [&](mapping::Match&& match) {
        found.emplace_back(match.data_set.view().text(tags::AccessionNumber));
        return true;
      },
      with);
}

inline void accept(RawPeer& peer, std::size_t max_pdu = 16384) {
  peer.receive_pdu();
  peer.send(associate_ac(4, max_pdu));
}

inline dimse::Command pending(const dimse::Command& request) {
  return dimse::response_to(request, status::pending);
}
inline dimse::Command success(const dimse::Command& request) {
  return dimse::response_to(request, status::success);
}

struct Token : mapping::Cancellation {
  std::atomic<bool> fired{false};
  bool requested() override { return fired; }
};

}  // namespace loopback
