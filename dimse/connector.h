// Opens a TCP connection within a deadline, trying every address of the host in turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "dimse/descriptor.h"

struct addrinfo;

namespace dimse {

/// No descriptor on failure; why then says what went wrong, for logs. Blocks the calling thread
/// only: one host that does not answer stalls nobody else (a slow name server may outlast the
/// deadline, that is the resolver's).
Descriptor connect_to(const std::string& host, std::uint16_t port,
                      std::chrono::steady_clock::time_point deadline, std::string& why);

/// The same for the addresses that a resolver found. Each has its share of the time, so that one
/// which answers nothing does not take that of the others.
Descriptor connect_to(const addrinfo* addresses, std::chrono::steady_clock::time_point deadline,
                      std::string& why);

}  // namespace dimse
