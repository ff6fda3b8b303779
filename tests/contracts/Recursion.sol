// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.0;

/// Calls itself, depth after depth, until calls fail.
contract Recursion {
    uint256 public marks;

    /// Returns how many frames lay below this one: at most depth, or what the limit of 1024 and the gas allow.
    function dive(uint256 depth) external returns (uint256) {
        return descend(abi.encodeWithSignature("dive(uint256)", depth == 0 ? 0 : depth - 1), depth, 0);
    }

    /// The same over DELEGATECALL, and over STATICCALL.
    function diveDelegate(uint256 depth) external returns (uint256) {
        return descend(abi.encodeWithSignature("diveDelegate(uint256)", depth == 0 ? 0 : depth - 1), depth, 1);
    }

    function diveStatic(uint256 depth) external returns (uint256) {
        return descend(abi.encodeWithSignature("diveStatic(uint256)", depth == 0 ? 0 : depth - 1), depth, 2);
    }

    /// Every frame writes on the way down and the last fails: nothing may remain but the outermost frame's write.
    function diveAndRevert(uint256 depth) external returns (bool failed) {
        marks = marks + 1;
        if (depth == 0) revert();
        (bool ok, ) = address(this).call(abi.encodeWithSignature("diveAndFail(uint256)", depth - 1));
        return !ok;
    }

    function diveAndFail(uint256 depth) external {
        marks = marks + 1;
        if (depth == 0) revert();
        (bool ok, ) = address(this).call(abi.encodeWithSignature("diveAndFail(uint256)", depth - 1));
        require(ok);
    }

    function descend(bytes memory data, uint256 depth, uint256 kind) private returns (uint256) {
        if (depth == 0) return 0;
        bool ok;
        bytes memory answer;
        if (kind == 0) (ok, answer) = address(this).call(data);
        else if (kind == 1) (ok, answer) = address(this).delegatecall(data);
        else (ok, answer) = address(this).staticcall(data);
        return ok ? abi.decode(answer, (uint256)) + 1 : 0;
    }
}
