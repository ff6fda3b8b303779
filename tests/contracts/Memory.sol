// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.0;

/// Grows memory. 10 MiB cost 983,040 + 209,715,200 gas (Yellow Paper, Appendix H: 3 w + w^2 / 512 for w words).
contract Memory {
    /// Touches the last word of size bytes, a multiple of 32 above 64 KiB; returns MSIZE, which is then size.
    function expand(uint256 size) external pure returns (uint256 grown) {
        assembly {
            mstore(sub(size, 32), 1)
            grown := msize()
        }
    }

    /// Fills size bytes beyond what is in use word by word, counting from 0 by 32, and hashes them.
    function fill(uint256 size) external pure returns (bytes32 hash) {
        assembly {
            let start := mload(0x40)
            for { let at := 0 } lt(at, size) { at := add(at, 32) } { mstore(add(start, at), at) }
            hash := keccak256(start, size)
        }
    }

    /// Grows by step bytes at a time up to size: each growth pays only for what is new.
    function creep(uint256 size, uint256 step) external pure returns (uint256 grown) {
        assembly {
            for { let at := step } iszero(gt(at, size)) { at := add(at, step) } { mstore8(sub(at, 1), 1) }
            grown := msize()
        }
    }

    /// Takes size bytes of zeros from this contract itself, which returns them; returns their hash.
    function echo(uint256 size) external view returns (bytes32) {
        (bool ok, bytes memory answer) = address(this).staticcall(abi.encodeWithSignature("zeros(uint256)", size));
        require(ok && answer.length == size);
        return keccak256(answer);
    }

    function zeros(uint256 size) external pure {
        assembly {
            return(0x80, size)
        }
    }
}
