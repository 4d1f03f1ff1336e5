"""gdb commands for kitten's fibers.

    gdb -x tools/gdb/kitten.py -p PID          (or with a core file)
    (gdb) kt fibers                            every live fiber: loop, id, request, what it waits for
    (gdb) kt bt ID                             the stack of one
    (gdb) kt bt all                            the stacks of all

A suspended fiber is a stack pointer with the callee-saved registers below a return address (src/rt/ctx.h);
`kt bt` loads these into the registers of the selected thread, prints, and puts the thread's own back. That
needs a live process: with a core file it walks the frame pointers instead.
"""

import gdb

X86 = ["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"]
ARM = {"x%d" % (19 + i): i for i in range(12)}


def arch():
    return gdb.selected_frame().architecture().name()


def members(head, kind, field):
    """The structs of a `struct list`."""
    offset = [f.bitpos // 8 for f in gdb.lookup_type(kind).fields() if f.name == field][0]
    node = head["next"]
    while node != head.address:
        at = int(node) - offset
        yield gdb.Value(at).cast(gdb.lookup_type(kind).pointer())
        node = node["next"]


def fibers():
    rt = gdb.parse_and_eval("rt_self")
    for i in range(int(rt["loop_count"])):
        loop = (rt["loops"] + i).dereference()
        for f in members(loop["live"], "struct rt_fiber", "live"):
            yield i, f, int(loop["current"]) == int(f)


def describe(fiber, running):
    if running:
        return "running"
    return fiber["wait_name"].string() if int(fiber["wait"]) else "ready"


def word(address):
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


def saved(fiber):
    """Register values at the fiber's last switch."""
    sp = int(fiber["sp"])
    if arch().startswith("aarch64"):
        regs = {name: word(sp + 8 * i) for name, i in ARM.items()}
        regs["pc"], regs["sp"] = regs["x30"], sp + 160
        return regs
    regs = {name: word(sp + 8 * i) for i, name in enumerate(X86)}
    regs["rsp"] = sp + 8 * len(X86)
    return regs


def walk_frame_pointers(regs):
    pc, fp = regs.get("rip", regs.get("pc")), regs.get("rbp", regs.get("x29"))
    for depth in range(64):
        print("#%-2d %s" % (depth, gdb.execute("info symbol 0x%x" % pc, to_string=True).strip()))
        if not fp:
            return
        try:
            pc, fp = word(fp + 8), word(fp)
        except gdb.MemoryError:
            return
        if pc == 0:
            return


def backtrace(fiber):
    regs = saved(fiber)
    gdb.execute("frame 0", to_string=True)
    kept = {name: int(gdb.parse_and_eval("(unsigned long)$" + name)) for name in regs}
    try:
        for name, value in regs.items():
            gdb.execute("set $%s = 0x%x" % (name, value & (2**64 - 1)))
    except gdb.error:
        walk_frame_pointers(regs)
        return
    try:
        gdb.execute("bt")
    finally:
        for name, value in kept.items():
            gdb.execute("set $%s = 0x%x" % (name, value & (2**64 - 1)))


class Kt(gdb.Command):
    """kt fibers | kt bt ID | kt bt all: kitten's fibers and their stacks."""

    def __init__(self):
        super().__init__("kt", gdb.COMMAND_USER)

    def invoke(self, text, from_tty):
        args = gdb.string_to_argv(text)
        if args == ["fibers"]:
            print("%4s %8s %16s  %s" % ("loop", "id", "request", "waits for"))
            for loop, f, running in fibers():
                print("%4d %8d %16x  %s" % (loop, int(f["id"]), int(f["request_id"]), describe(f, running)))
        elif len(args) == 2 and args[0] == "bt":
            self.stacks(args[1])
        else:
            raise gdb.GdbError("usage: kt fibers | kt bt ID | kt bt all")

    def stacks(self, which):
        found = False
        for loop, f, running in list(fibers()):
            if which not in ("all", str(int(f["id"]))):
                continue
            found = True
            print("fiber %d on loop %d: %s" % (int(f["id"]), loop, describe(f, running)))
            if running:
                print("    (it runs: see the loop's thread, `thread apply all bt`)")
            else:
                backtrace(f)
        if not found:
            raise gdb.GdbError("no live fiber %s: see `kt fibers`" % which)


Kt()
