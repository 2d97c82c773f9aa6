// Catch2 2: its main function and implementation, compiled once.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
