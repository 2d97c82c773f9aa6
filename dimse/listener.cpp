// The accepting thread only accepts; whatever a client does or does not say happens elsewhere.
#include "dimse/listener.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <system_error>
#include <utility>

namespace dimse {
namespace {

constexpr int backlog = 512;
constexpr auto patience = std::chrono::seconds(2);
constexpr std::size_t most_leaving = 64;  ///< evicted ones whose threads have not ended yet

void signal_event(const Descriptor& event) {
  std::uint64_t one = 1;
  [[maybe_unused]] auto written = ::write(event.get(), &one, sizeof one);
}

mapping::Fault cannot_listen(const ListenerOptions& options, std::string_view why) {
  return {mapping::Fault::Kind::invalid_value,
          fmt::format("cannot listen on {} port {}: {}", options.bind, options.port, why),
          {}};
}

std::string system_message() { return std::generic_category().message(errno); }

/// Numeric; an IPv4 peer of an IPv6 socket shows as IPv4.
std::string to_text(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      ::inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    }
  }
  return text;
}

mapping::Result<std::uint16_t> port_of(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return mapping::Fault{mapping::Fault::Kind::invalid_value, system_message(), {}};
  }
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

Listener::Listener(ListenerOptions options, Serve serve, mapping::Log log)
    : options_(std::move(options)), serve_(std::move(serve)), log_(std::move(log)) {}

Listener::~Listener() { stop(std::chrono::milliseconds(0)); }

mapping::Result<std::uint16_t> Listener::start() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  if (int code = ::getaddrinfo(options_.bind.c_str(), std::to_string(options_.port).c_str(), &hints,
                               &found)) {
    return cannot_listen(options_, ::gai_strerror(code));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> address(found, ::freeaddrinfo);
  Descriptor listening(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1, off = 0;
  ::setsockopt(listening.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (found->ai_family == AF_INET6) {
    ::setsockopt(listening.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (::bind(listening.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(listening.get(), backlog) != 0) {
    return cannot_listen(options_, system_message());
  }
  stop_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_ || !wake_) return cannot_listen(options_, system_message());
  listening_ = std::move(listening);
  auto port = port_of(listening_.get());
  accepting_ = std::thread([this] { accept_until_stopped(); });
  return port;
}

void Listener::accept_until_stopped() {
  bool exhausted = false;
  for (;;) {
    pollfd ready[] = {{stop_.get(), POLLIN, 0},
                      {wake_.get(), POLLIN, 0},
                      {exhausted ? -1 : listening_.get(), POLLIN, 0}};
    ::poll(ready, 3, exhausted ? 50 : -1);
    if (ready[0].revents != 0) return;
    if (ready[1].revents != 0) join_finished();
    try {
      exhausted = !exhausted && ready[2].revents != 0 && !accept_one();
    } catch (const std::exception& error) {  // no thread, no memory: the connection is closed
      log_(mapping::LogLevel::error, fmt::format("dimse: cannot serve: {}", error.what()));
    }
  }
}

/// False: no descriptors left; waiting a little is better than turning in circles.
bool Listener::accept_one() {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  Descriptor accepted(
      ::accept4(listening_.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC));
  if (!accepted) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return true;
    const auto why = system_message();
    if (!std::exchange(starved_, true)) {  // once, not at each of twenty tries a second
      log_(mapping::LogLevel::error, "dimse: cannot accept: " + why);
    }
    return false;
  }
  starved_ = false;
  auto text = to_text(address);
  std::unique_lock lock(mutex_);
  // Threads of evicted connections end as soon as they run: they are waited for. Closing the
  // newcomer instead would keep out a modality because others were silent.
  finished_one_.wait_for(lock, patience, [this] { return leaving() < most_leaving; });
  if (!make_room()) {
    limited_(mapping::LogLevel::warn, text,
             fmt::format("dimse: {}: closed, too many connections already", text));
    return true;
  }
  running_.push_back({std::move(accepted), {}});
  auto served = std::prev(running_.end());
  try {
    served->thread = std::thread([this, served, text] { serve(served, text); });
  } catch (const std::exception&) {
    running_.erase(served);
    throw;
  }
  return true;
}

std::size_t Listener::leaving() const {
  return static_cast<std::size_t>(std::count_if(
      running_.begin(), running_.end(), [](const Served& served) { return served.evicted; }));
}

/// Whoever says nothing, or lingers after a refusal, must not keep others out. False: all are
/// settled.
bool Listener::make_room() {
  std::size_t staying = 0;
  auto oldest = running_.end();
  for (auto served = running_.begin(); served != running_.end(); ++served) {
    if (served->evicted) continue;
    ++staying;
    if (oldest == running_.end() && !served->settled) oldest = served;
  }
  if (staying < options_.max_connections) return true;
  if (oldest == running_.end() || running_.size() - staying >= most_leaving) return false;
  oldest->evicted = true;
  ::shutdown(oldest->descriptor.get(), SHUT_RDWR);
  return true;
}

void Listener::serve(ServedList::iterator served, const std::string& address) {
  const auto settle = [&] {
    std::lock_guard lock(mutex_);
    served->settled = true;
  };
  try {
    serve_({served->descriptor.get(), address, stop_.get(), settle});
  } catch (const std::exception& error) {
    log_(mapping::LogLevel::error, fmt::format("dimse: {}: {}", address, error.what()));
  } catch (...) {
    log_(mapping::LogLevel::error, fmt::format("dimse: {}: unknown exception", address));
  }
  std::lock_guard lock(mutex_);
  served->descriptor.reset();  // under the lock: stop shuts descriptors down
  finished_.splice(finished_.end(), running_, served);
  signal_event(wake_);
  finished_one_.notify_all();
}

void Listener::join_finished() {
  std::uint64_t count = 0;
  [[maybe_unused]] auto got = ::read(wake_.get(), &count, sizeof count);
  ServedList finished;
  {
    std::lock_guard lock(mutex_);
    finished.swap(finished_);
  }
  for (auto& served : finished) served.thread.join();
}

void Listener::stop(std::chrono::milliseconds grace) {
  if (!accepting_.joinable()) return;
  signal_event(stop_);
  accepting_.join();
  listening_.reset();
  {
    std::unique_lock lock(mutex_);
    finished_one_.wait_for(lock, grace, [this] { return running_.empty(); });
    for (auto& served : running_) ::shutdown(served.descriptor.get(), SHUT_RDWR);
    finished_one_.wait(lock, [this] { return running_.empty(); });
  }
  join_finished();
}

}  // namespace dimse
