"""Hand-made kernels of a few bytes that both QEMU and cloud-hypervisor boot by PVH; they do one thing each."""

import struct

LOAD_ADDRESS = 0x100000
_NOTE_PHYS32_ENTRY = 18
_PRINT_R = bytes.fromhex("66baf803 b052 ee b00a ee")
_HALT = bytes.fromhex("fa f4 ebfd")
# cloud-hypervisor's ACPI shutdown port, then q35's PM1 control register.
_POWER_OFF = bytes.fromhex("66ba0006 b034 ee 66ba0406 66b80020 66ef") + _HALT
_TRIPLE_FAULT_HEAD = bytes.fromhex("0f011d")
# In PM1 (q35): enables the power button, and waits for its status bit.
_ENABLE_BUTTON = bytes.fromhex("66ba0206 66b80001 66ef")
_WAIT_FOR_BUTTON = bytes.fromhex("66ba0006 66ed f6c401 74f9")


def halting() -> bytes:
    """Prints `R` on the serial console and halts for ever."""
    return _elf(_PRINT_R + _HALT)


def powering_off() -> bytes:
    """Prints `R` and powers off."""
    return _elf(_PRINT_R + _POWER_OFF)


def obeying_power_button() -> bytes:
    """Prints `R` once it would notice the power button (q35 only), waits for that, powers off."""
    return _elf(_ENABLE_BUTTON + _PRINT_R + _WAIT_FOR_BUTTON + _POWER_OFF)


def resetting_once_per_boot() -> bytes:
    """Prints `R` and resets by a triple fault, over and over."""
    code = _PRINT_R + _TRIPLE_FAULT_HEAD
    null_table = LOAD_ADDRESS + len(code) + 5
    return _elf(code + struct.pack("<I", null_table) + b"\xcc" + bytes(8))


def _elf(code: bytes) -> bytes:
    note = struct.pack("<III4sQ", 4, 8, _NOTE_PHYS32_ENTRY, b"Xen\0", LOAD_ADDRESS)
    headers = 64 + 2 * 56
    image = code + bytes(-len(code) % 8)
    note_at = 0x1000 + len(image)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = identity + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, LOAD_ADDRESS, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, 0x1000, LOAD_ADDRESS, LOAD_ADDRESS, len(image), len(image), 0x1000)
    noted = LOAD_ADDRESS + len(image)
    notes = struct.pack("<IIQQQQQQ", 4, 4, note_at, noted, noted, len(note), len(note), 4)
    return (head + load + notes).ljust(headers, b"\0").ljust(0x1000, b"\0") + image + note
