// Keeps other people's web pages from using a port of ours through somebody's browser: names that
// are turned to our address (DNS rebinding), requests that another site's page makes the browser
// send, our page inside a frame of theirs, script that got into our page.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "web/request_reader.h"

namespace web {

/// Whether Host names this server: a numeric address, localhost, this machine's own name, or one of
/// names. Case and port do not matter. No Host at all (HTTP/1.0) is good: no browser leaves it out.
bool is_own_host(const RawRequest& request, const std::vector<std::string>& names);

/// Whether a page of this server sent it, or a program that is no browser: Origin, where there is
/// one, has the authority of Host, and Sec-Fetch-Site says same-origin. RFC 6454, Fetch Metadata.
bool is_from_own_page(const RawRequest& request);

/// A secret that only our own page can read, made anew with each process. Constant after
/// construction.
class PageToken {
 public:
  /// 256 bits of chance. Throws std::runtime_error where the system gives none.
  PageToken();
  const std::string& text() const { return text_; }
  /// Takes as long whatever is wrong.
  bool is(std::string_view candidate) const;

 private:
  std::string text_;  ///< hexadecimal
};

/// The value of a Content-Security-Policy header for a page that holds its only style and script
/// itself: these and nothing else, answers of this server, no frames around it. Empty where html
/// lacks <style> or <script>.
std::string content_security_policy(std::string_view html);

}  // namespace web
