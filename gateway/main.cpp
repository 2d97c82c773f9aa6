// The program: hands its arguments to the command line.
#include "gateway/cli.h"

int main(int argc, char** argv) { return gateway::run_command_line(argc, argv); }
