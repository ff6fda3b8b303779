// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

/// An ERC-20 ledger (EIP-20): what Token and Pair's shares have in common. Storage, in order: balances, allowances,
/// supply, name, symbol. Errors are those of EIP-6093.
abstract contract Ledger {
    mapping(address => uint256) private balances;
    mapping(address => mapping(address => uint256)) private allowances;
    uint256 private supply;
    string private label;
    string private ticker;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
    error ERC20InvalidSender(address sender);
    error ERC20InvalidReceiver(address receiver);
    error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
    error ERC20InvalidApprover(address approver);
    error ERC20InvalidSpender(address spender);

    constructor(string memory name_, string memory symbol_) {
        label = name_;
        ticker = symbol_;
    }

    function name() external view returns (string memory) {
        return label;
    }

    function symbol() external view returns (string memory) {
        return ticker;
    }

    function decimals() external pure returns (uint8) {
        return 18;
    }

    function totalSupply() public view returns (uint256) {
        return supply;
    }

    function balanceOf(address owner) public view returns (uint256) {
        return balances[owner];
    }

    function allowance(address owner, address spender) external view returns (uint256) {
        return allowances[owner][spender];
    }

    function transfer(address to, uint256 value) external returns (bool) {
        move(msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        if (msg.sender == address(0)) revert ERC20InvalidApprover(address(0));
        if (spender == address(0)) revert ERC20InvalidSpender(address(0));
        allowances[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    /// An allowance of 2^256-1 is without end and is not written again.
    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowances[from][msg.sender];
        if (allowed != type(uint256).max) {
            if (allowed < value) revert ERC20InsufficientAllowance(msg.sender, allowed, value);
            if (from == address(0)) revert ERC20InvalidApprover(address(0));
            if (msg.sender == address(0)) revert ERC20InvalidSpender(address(0));
            unchecked {
                allowances[from][msg.sender] = allowed - value;
            }
        }
        move(from, to, value);
        return true;
    }

    function move(address from, address to, uint256 value) internal {
        if (from == address(0)) revert ERC20InvalidSender(address(0));
        if (to == address(0)) revert ERC20InvalidReceiver(address(0));
        debit(from, value);
        credit(to, value);
        emit Transfer(from, to, value);
    }

    function mintTo(address to, uint256 value) internal {
        if (to == address(0)) revert ERC20InvalidReceiver(address(0));
        supply += value; // the one sum that may overflow: no balance exceeds it
        credit(to, value);
        emit Transfer(address(0), to, value);
    }

    function burnFrom(address from, uint256 value) internal {
        if (from == address(0)) revert ERC20InvalidSender(address(0));
        debit(from, value);
        unchecked {
            supply -= value;
        }
        emit Transfer(from, address(0), value);
    }

    function debit(address from, uint256 value) private {
        uint256 balance = balances[from];
        if (balance < value) revert ERC20InsufficientBalance(from, balance, value);
        unchecked {
            balances[from] = balance - value;
        }
    }

    function credit(address to, uint256 value) private {
        unchecked {
            balances[to] += value;
        }
    }
}
