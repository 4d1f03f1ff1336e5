/* main: the program `kitten`; everything is in the command table (cmd/cmd.h). */
#include "cmd/cmd.h"

int main(int argc, char **argv)
{
    return cmd_main(argc, argv);
}
