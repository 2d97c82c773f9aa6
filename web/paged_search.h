// One Search of the user agent: page after page until the server has no more. mapping.md, 1b.
// A page in JSON is read while it comes and its matches are handed on at once; one in another form
// when it is there as a whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mapping/json_array_reader.h"
#include "mapping/result.h"
#include "mapping/services.h"
#include "web/origin_client.h"

namespace web {

/// Made for one call of search, used once.
class PagedSearch {
 public:
  /// client, search and on_match outlive it.
  PagedSearch(OriginClient& client, const mapping::Search& search, const mapping::OnMatch& on_match,
              std::uint64_t page_size)
      : client_(client), search_(search), on_match_(on_match), limit_(page_size) {}

  mapping::Outcome run(const mapping::Context& context);

 private:
  mapping::Result<std::string> query() const;
  bool ask_for_less(const OriginReply& reply);
  TakeBody begin_page(const OriginReply& head);
  bool take(mapping::DataSet&& match);
  mapping::Outcome end_page(const OriginReply& reply);
  mapping::Outcome end_matches(bool readable, mapping::Outcome outcome);
  void read_warnings(const OriginReply& reply, mapping::Outcome& outcome);

  OriginClient& client_;
  const mapping::Search& search_;
  const mapping::OnMatch& on_match_;

  std::uint64_t offset_ = 0;
  std::uint64_t limit_;
  bool all_ = false;             ///< includefield=all in place of the return keys
  std::uint64_t remaining_ = 0;  ///< behind the last page, as the server says
  bool keys_supported_ = true;   ///< on the last page
  std::string first_match_;      ///< bytes of the last page's first match
  std::optional<mapping::JsonArrayReader> reader_;  ///< of the page that comes, if it is in JSON
  bool blank_ = true;                               ///< what it has read
  std::uint64_t in_page_ = 0;                       ///< matches of the page that comes
  bool same_page_ = false;                          ///< it is the last one again
  bool wanted_ = true;                              ///< by on_match
  std::uint64_t handed_on_ = 0;
  bool ended_ = false;  ///< by the server's last page, or by on_match
};

}  // namespace web
