#include "web/token_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "web/access_token.h"

namespace web {

mapping::Result<std::string> TokenFile::read(const std::string& file) {
  using mapping::Fault;
  std::ifstream in(file, std::ios::binary);
  if (!in) return Fault{Fault::Kind::invalid_value, std::strerror(errno)};
  std::string line;
  constexpr int longest = 64 << 10;
  line.resize(longest);
  in.read(line.data(), longest);
  line.resize(static_cast<std::size_t>(in.gcount()));
  line.resize(std::min(line.find('\n'), line.size()));
  const std::size_t first = std::min(line.find_first_not_of(" \t\r"), line.size());
  line.erase(0, first);
  line.resize(line.find_last_not_of(" \t\r") + 1);
  if (!is_token(line)) {
    return Fault{Fault::Kind::malformed,
                 "its first line is no token, expected visible ASCII without blanks"};
  }
  return line;
}

std::string TokenFile::token(bool again) {
  const std::lock_guard lock(mutex_);
  if (!changed() && !again) return token_;
  auto read_now = read(file_);
  if (read_now) {
    token_ = std::move(read_now).value();
  } else {
    log_(mapping::LogLevel::warn,
         "web: bearer_token_file: cannot use " + file_ + ": " + read_now.fault().what);
  }
  return token_;
}

/// Looks at the file, and remembers what it saw.
bool TokenFile::changed() {
  struct ::stat now {};
  if (::stat(file_.c_str(), &now) != 0) now = {};
  const bool same = now.st_dev == last_.st_dev && now.st_ino == last_.st_ino &&
                    now.st_size == last_.st_size && now.st_mtim.tv_sec == last_.st_mtim.tv_sec &&
                    now.st_mtim.tv_nsec == last_.st_mtim.tv_nsec;
  last_ = now;
  return !same;
}

}  // namespace web
