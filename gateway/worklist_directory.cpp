// Files → scheduled steps, with a look at the directory now and then: a poll sees what comes over a
// network file system as well, and needs no second way for the events that inotify drops.
#include "gateway/worklist_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "gateway/dump_reader.h"
#include "mapping/json.h"
#include "mapping/return_keys.h"
#include "mapping/wire.h"

namespace gateway {
namespace {

using mapping::DataSet;
using mapping::Fault;
using mapping::Result;
using mapping::TransferSyntax;

constexpr std::size_t max_file_bytes = 64u << 20;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool has_worklist_suffix(std::string_view name) {
  const std::string small = lower(name);
  return !name.starts_with('.') && (small.ends_with(".json") || small.ends_with(".dump") ||
                                    small.ends_with(".wl") || small.ends_with(".dcm"));
}

Result<std::vector<DataSet>> one(Result<DataSet> read) {
  if (!read) return read.fault();
  std::vector<DataSet> data_sets;
  data_sets.push_back(std::move(read).value());
  return data_sets;
}

Result<DataSet> decode(std::string_view content, TransferSyntax syntax) {
  auto read = mapping::read_data_set(content, syntax);
  if (!read) return read.fault();
  return std::move(read).value().data_set;
}

// File meta information is Explicit VR Little Endian whatever follows it. PS3.10, 7.1.
Result<DataSet> read_part_10(std::string_view content) {
  constexpr std::size_t preamble = 128 + 4;
  constexpr mapping::Tag transfer_syntax_uid{0x0002, 0x0010};
  content.remove_prefix(preamble);
  std::optional<TransferSyntax> syntax;
  while (content.size() >= 8 && mapping::detail::load_16(content.data()) == 0x0002) {
    const auto vr = mapping::parse_vr(content.substr(4, 2));
    const bool long_header = vr && mapping::facts(*vr).long_header;
    const std::size_t header = long_header ? 12 : 8;
    if (!vr || content.size() < header) break;
    const std::size_t length = long_header ? mapping::detail::load_32(content.data() + 8)
                                           : mapping::detail::load_16(content.data() + 6);
    if (length > content.size() - header) break;
    if (mapping::detail::load_16(content.data() + 2) == transfer_syntax_uid.element()) {
      std::string_view uid = content.substr(header, length);
      while (uid.ends_with('\0') || uid.ends_with(' ')) uid.remove_suffix(1);
      syntax = mapping::transfer_syntax_of(uid);
    }
    content.remove_prefix(header + length);
  }
  if (!syntax) {
    return Fault{Fault::Kind::malformed,
                 "expected file meta information with the Transfer Syntax UID (0002,0010) of "
                 "Implicit or Explicit VR Little Endian or Explicit VR Big Endian",
                 {}};
  }
  return decode(content, *syntax);
}

// Without meta information the first element tells: two letters that are a VR behind its tag.
Result<DataSet> read_bare(std::string_view content) {
  const bool is_explicit = content.size() >= 8 && mapping::parse_vr(content.substr(4, 2));
  if (!is_explicit) return decode(content, TransferSyntax::implicit_vr_little_endian);
  const bool big_endian = content[0] == '\0' && content[1] != '\0';
  return decode(content, big_endian ? TransferSyntax::explicit_vr_big_endian
                                    : TransferSyntax::explicit_vr_little_endian);
}

std::string system_error() { return std::strerror(errno); }

/// The content, or why there is none.
Result<std::string> read_whole(const std::filesystem::path& path) {
  const auto failed = [](std::string what) {
    return Fault{Fault::Kind::malformed, std::move(what), {}};
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return failed(system_error());
  std::string content;
  char piece[64 * 1024];
  ssize_t count = 0;
  while ((count = ::read(descriptor, piece, sizeof piece)) > 0 &&
         content.size() <= max_file_bytes) {
    content.append(piece, static_cast<std::size_t>(count));
  }
  const std::string fault = count < 0 ? system_error() : std::string();
  ::close(descriptor);
  if (!fault.empty()) return failed(fault);
  if (content.size() > max_file_bytes) {
    return failed(fmt::format("expected at most {} bytes", max_file_bytes));
  }
  return content;
}

}  // namespace

Result<std::vector<DataSet>> read_worklist_file(std::string_view name, std::string_view content) {
  const std::string small = lower(name);
  if (content.empty()) return Fault{Fault::Kind::malformed, "expected a data set, it is empty", {}};
  if (small.ends_with(".dump")) return one(read_dump(content));
  if (small.ends_with(".json")) {
    std::vector<DataSet> data_sets;
    const auto read = mapping::read_json_array(content, [&](DataSet&& data_set) {
      data_sets.push_back(std::move(data_set));
      return true;
    });
    if (!read) return read.fault();
    return data_sets;
  }
  const bool part_10 = content.size() >= 132 && content.substr(128, 4) == "DICM";
  return one(part_10 ? read_part_10(content) : read_bare(content));
}

WorklistDirectory::WorklistDirectory(std::filesystem::path directory,
                                     std::chrono::milliseconds interval, mapping::Log log)
    : directory_(std::move(directory)), interval_(interval), log_(std::move(log)) {
  look();
  thread_ = std::thread([this] { watch(); });
}

WorklistDirectory::~WorklistDirectory() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_condition_.notify_all();
  thread_.join();
}

Result<std::shared_ptr<const WorklistDirectory::Steps>> WorklistDirectory::steps() const {
  const std::lock_guard lock(mutex_);
  if (!fault_.empty()) return Fault{Fault::Kind::malformed, fault_, {}};
  return steps_;
}

void WorklistDirectory::watch() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (stop_condition_.wait_for(lock, interval_, [this] { return stopping_; })) return;
    }
    look();
  }
}

// A file may change twice within one tick of the clock that stamps it: only an old stamp says that
// what was read is what is there. A stamp in the future is of another clock and says nothing.
bool WorklistDirectory::is_settled(const Stamp& stamp) {
  constexpr std::chrono::seconds old{2};
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::chrono::nanoseconds newest(std::max(stamp.modified, stamp.changed));
  return now - newest > old || newest - now > old;
}

void WorklistDirectory::look() {
  std::map<std::string, Stamp> found;
  std::string fault;
  if (!list(found, fault)) {
    const std::lock_guard lock(mutex_);
    if (fault_ != fault) log_(mapping::LogLevel::error, fmt::format("worklist_dir {}", fault));
    fault_ = fault;
    return;
  }
  bool changed = std::erase_if(files_, [&](const auto& file) {
                   return found.find(file.first) == found.end();
                 }) > 0;
  for (const auto& [name, stamp] : found) {
    const auto known = files_.find(name);
    if (known != files_.end() && known->second.settled && known->second.stamp == stamp) continue;
    changed = read(name, stamp, files_[name]) || changed;
  }
  const std::lock_guard lock(mutex_);
  if (!fault_.empty()) {
    log_(mapping::LogLevel::info,
         fmt::format("worklist_dir {} can be read again", directory_.string()));
  }
  fault_.clear();
  if (changed || steps_ == nullptr) publish();
}

bool WorklistDirectory::list(std::map<std::string, Stamp>& found, std::string& fault) const {
  std::error_code error;
  std::filesystem::directory_iterator entry(directory_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    struct stat status {};
    if (!has_worklist_suffix(name)) continue;
    const char* const path = entry->path().c_str();
    // A link that leads nowhere is a file that cannot be read; what is gone by now is none.
    if (::stat(path, &status) != 0 && ::lstat(path, &status) != 0) continue;
    if (!S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode)) continue;
    const auto nanoseconds = [](const timespec& time) {
      return static_cast<long long>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
    };
    found[name] = {nanoseconds(status.st_mtim), nanoseconds(status.st_ctim), status.st_ino,
                   static_cast<unsigned long long>(status.st_size)};
  }
  if (!error) return true;
  fault = fmt::format("{}: expected a directory that can be read: {}", directory_.string(),
                      error.message());
  return false;
}

/// True where the steps of the file are others than before.
bool WorklistDirectory::read(const std::string& name, const Stamp& stamp, File& file) {
  file.stamp = stamp;
  const bool settled = is_settled(stamp);
  auto content = read_whole(directory_ / name);
  auto read = content ? read_worklist_file(name, content.value())
                      : Result<std::vector<DataSet>>(content.fault());
  if (read) {
    FileSteps steps;
    for (const DataSet& data_set : read.value()) {
      for (DataSet& step : mapping::split_scheduled_procedure_steps(data_set)) {
        steps.push_back(std::move(step));
      }
    }
    if (!file.fault.empty()) {
      log_(mapping::LogLevel::info, fmt::format("worklist file {} can be read now", name));
    }
    file.fault.clear();
    file.settled = settled;
    if (file.steps != nullptr && *file.steps == steps) return false;
    file.steps = std::make_shared<const FileSteps>(std::move(steps));
    return true;
  }
  file.settled = settled;
  if (!settled) return false;  // perhaps it is being written
  if (file.fault != read.fault().what) {
    log_(mapping::LogLevel::warn,
         fmt::format("worklist file {} is left out: {}", name, read.fault().what));
  }
  file.fault = read.fault().what;
  const bool changed = file.steps != nullptr;
  file.steps.reset();
  return changed;
}

void WorklistDirectory::publish() {
  auto steps = std::make_shared<Steps>();
  for (const auto& [name, file] : files_) {
    if (file.steps != nullptr) steps->push_back(file.steps);
  }
  steps_ = std::move(steps);
}

}  // namespace gateway
