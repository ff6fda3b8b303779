// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// Ether that its owner gets after a time.
contract Lock {
    uint256 public unlockTime;
    address payable public owner;
    event Withdrawal(uint256 amount, uint256 when);
    error TooEarly(uint256 until);

    constructor(uint256 until) payable {
        require(block.timestamp < until, "Unlock time should be in the future");
        unlockTime = until;
        owner = payable(msg.sender);
    }

    function withdraw() external {
        if (block.timestamp < unlockTime) {
            revert TooEarly(unlockTime);
        }
        require(msg.sender == owner, "You aren't the owner");
        emit Withdrawal(address(this).balance, block.timestamp);
        owner.transfer(address(this).balance);
    }
}
