// A loopback address with a listener, as a resolver hands it on; one that answers, or nothing.
#pragma once

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <vector>

class ListeningAddress {
 public:
  explicit ListeningAddress(const char* text) : listening_(::socket(AF_INET, SOCK_STREAM, 0)) {
    address_.sin_family = AF_INET;
    ::inet_pton(AF_INET, text, &address_.sin_addr);
    if (::bind(listening_, any(), sizeof address_) != 0 || ::listen(listening_, 0) != 0) {
      throw std::runtime_error("cannot listen");
    }
    socklen_t size = sizeof address_;
    ::getsockname(listening_, any(), &size);
    info_.ai_family = AF_INET;
    info_.ai_socktype = SOCK_STREAM;
    info_.ai_addr = any();
    info_.ai_addrlen = sizeof address_;
  }
  ~ListeningAddress() {
    for (const int socket : waiting_) ::close(socket);
    ::close(listening_);
  }
  ListeningAddress(const ListeningAddress&) = delete;
  ListeningAddress& operator=(const ListeningAddress&) = delete;

  /// Fills the queue of the listener: whoever connects now is answered nothing.
  void fall_silent() {
    for (int i = 0; i < 8; ++i) {
      waiting_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      ::connect(waiting_.back(), any(), sizeof address_);
    }
  }
  /// A list that begins with it.
  const addrinfo* then(const addrinfo* next) {
    info_.ai_next = const_cast<addrinfo*>(next);
    return &info_;
  }

 private:
  sockaddr* any() { return reinterpret_cast<sockaddr*>(&address_); }

  const int listening_;
  std::vector<int> waiting_;
  sockaddr_in address_{};
  addrinfo info_{};
};
